//! `#[data(...)]`.

use syn::{Attribute, Error, LitInt, Path, Token, parenthesized, punctuated::Punctuated};

/// What stands on the type.
pub(crate) struct TypeAttributes {
    pub(crate) version: u32,
    /// Derives for the archived type.
    pub(crate) derives: Vec<Path>,
    /// Where the engine is.
    pub(crate) engine: Option<Path>,
}

impl TypeAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self, Error> {
        let mut parsed = Self { version: 1, derives: Vec::new(), engine: None };
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("data")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("version") {
                    parsed.version = meta.value()?.parse::<LitInt>()?.base10_parse()?;
                    Ok(())
                } else if meta.path.is_ident("archived") {
                    let list;
                    parenthesized!(list in meta.input);
                    parsed.derives.extend(Punctuated::<Path, Token![,]>::parse_terminated(&list)?);
                    Ok(())
                } else if meta.path.is_ident("crate") {
                    parsed.engine = Some(meta.value()?.parse()?);
                    Ok(())
                } else if meta.path.is_ident("default") {
                    Err(meta.error("`default` belongs on a field"))
                } else {
                    Err(meta.error("unknown attribute: a type takes `version`, `archived(..)` and `crate`"))
                }
            })?;
        }
        Ok(parsed)
    }
}

/// Whether a field has `#[data(default)]`.
pub(crate) fn has_default(attributes: &[Attribute]) -> Result<bool, Error> {
    let mut default = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("data")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("default") {
                default = true;
                Ok(())
            } else {
                Err(meta.error("unknown attribute: a field takes `default`"))
            }
        })?;
    }
    Ok(default)
}
