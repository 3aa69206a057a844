//! Enums, with and without data. The tag is the variant's position.

use crate::{Bodies, Target, archived_attributes, descriptor, fields, fields::FieldModel, implementations};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::{DataEnum, DeriveInput, Error, Fields, Ident, spanned::Spanned};

/// The tag is one byte.
const VARIANTS_MAX: usize = 256;

struct VariantModel<'a> {
    name: &'a Ident,
    tag: Literal,
    shape: &'a Fields,
    fields: Vec<FieldModel<'a>>,
    /// The variant's layout as a struct: tag, then fields.
    layout: Ident,
    /// Its list of fields.
    list: Ident,
}

pub(crate) fn expand(
    target: &Target<'_>,
    input: &DeriveInput,
    data: &DataEnum,
) -> Result<TokenStream, Error> {
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), "`Data` can't be derived for an enum without variants"));
    }
    if data.variants.len() > VARIANTS_MAX {
        return Err(Error::new(
            input.ident.span(),
            "`Data` allows 256 variants: the archived tag is one byte",
        ));
    }
    let variants = data.variants.iter().enumerate().map(|(tag, variant)| {
        if let Some(attribute) = variant.attrs.iter().find(|attribute| attribute.path().is_ident("data")) {
            return Err(Error::new(attribute.span(), "a variant takes no `data` attribute"));
        }
        Ok(VariantModel {
            name: &variant.ident,
            tag: Literal::u8_suffixed(tag as u8),
            shape: &variant.fields,
            fields: fields::model(&variant.fields)?,
            layout: format_ident!("Layout{}", variant.ident),
            list: format_ident!("FIELDS_{tag}"),
        })
    });
    let variants = variants.collect::<Result<Vec<_>, Error>>()?;
    let declaration = declaration(target, &variants);
    let bodies = bodies(target, &variants);
    let implementations = implementations(target, &bodies);
    Ok(quote!(#declaration #implementations))
}

impl VariantModel<'_> {
    /// `Name { a: field0 }`, `Name(field0)` or `Name`.
    fn pattern(&self) -> TokenStream {
        let name = self.name;
        let members = self.fields.iter().map(|field| &field.member);
        let bindings = self.fields.iter().map(|field| &field.binding);
        match self.shape {
            Fields::Named(_) => quote!(#name { #(#members: #bindings),* }),
            Fields::Unnamed(_) => quote!(#name(#(#bindings),*)),
            Fields::Unit => quote!(#name),
        }
    }

    fn items(&self, engine: &TokenStream) -> TokenStream {
        let Self { layout, list, fields, .. } = self;
        let archived = fields.iter().map(|field| field.archived(engine));
        let descriptors = descriptor::fields(fields, engine, |i, _| {
            let index = Literal::usize_unsuffixed(i + 1);
            quote!(::core::mem::offset_of!(#layout, #index))
        });
        quote! {
            #[repr(C)]
            #[allow(dead_code)]
            struct #layout(u8 #(, #archived)*);
            const #list: &'static [#engine::data::Field] = #descriptors;
        }
    }

    fn encode(&self, engine: &TokenStream, of: &TokenStream) -> TokenStream {
        let (name, pattern) = (self.name, self.pattern());
        let bindings = self.fields.iter().map(|field| &field.binding);
        quote! {
            #of::#pattern => Resolver::#name(#(#engine::data::Encode::encode(#bindings, encoder)?),*)
        }
    }

    fn resolve(&self, engine: &TokenStream, of: &TokenStream) -> TokenStream {
        let Self { name, tag, layout, .. } = self;
        let pattern = self.pattern();
        let bindings: Vec<_> = self.fields.iter().map(|field| &field.binding).collect();
        let resolvers: Vec<_> = self.fields.iter().map(|field| &field.resolver).collect();
        let places: Vec<_> = (0..bindings.len()).map(|i| format_ident!("place{i}")).collect();
        quote! {
            (#of::#pattern, Resolver::#name(#(#resolvers),*)) => {
                // SAFETY: the archived enum is `repr(u8)`, so that each variant is laid out as a `repr(C)` struct of
                // the tag and the variant's fields.
                let out = unsafe { out.cast_unchecked::<#layout>() };
                #engine::rkyv::munge::munge!(let #layout(tag #(, #places)*) = out);
                tag.write(#tag);
                #(#engine::data::Encode::resolve(#bindings, #resolvers, #places);)*
            }
        }
    }

    fn decode(&self, engine: &TokenStream, archived: &Ident) -> TokenStream {
        let (name, pattern) = (self.name, self.pattern());
        let decoded = self.fields.iter().map(|field| {
            let binding = &field.binding;
            field.decode(engine, &quote!(#binding))
        });
        quote!(#archived::#pattern => Self::#name { #(#decoded),* })
    }
}

fn declaration(target: &Target<'_>, variants: &[VariantModel<'_>]) -> TokenStream {
    let Target { vis, archived, engine, .. } = target;
    let attributes = archived_attributes(target, &quote!(u8));
    let variants = variants.iter().map(|variant| {
        let name = variant.name;
        let doc = format!("The archived form of `{name}`.");
        let lines = variant.fields.iter().map(|field| field.declaration(engine, false));
        let body = match variant.shape {
            Fields::Named(_) => quote!({ #(#lines),* }),
            Fields::Unnamed(_) => quote!((#(#lines),*)),
            Fields::Unit => quote!(),
        };
        quote!(#[doc = #doc] #name #body)
    });
    quote!(#attributes #vis enum #archived { #(#variants),* })
}

fn bodies(target: &Target<'_>, variants: &[VariantModel<'_>]) -> Bodies {
    let Target { archived, engine, .. } = target;
    let items = variants.iter().map(|variant| variant.items(engine));
    let resolvers = variants.iter().map(|variant| {
        let name = variant.name;
        let types = variant.fields.iter().map(|field| field.resolver_type(engine));
        quote!(#name(#(#types),*))
    });
    let list = variants.iter().map(|variant| {
        let (label, tag, list) = (variant.name.to_string(), &variant.tag, &variant.list);
        quote!(#engine::data::Variant::new(#label, #tag, #list))
    });
    let encode = |of: &TokenStream| {
        let arms = variants.iter().map(|variant| variant.encode(engine, of));
        quote!(::core::result::Result::Ok(match self { #(#arms),* }))
    };
    // With one variant the last arm can't be reached, and rustc would say so.
    let other = (variants.len() > 1)
        .then(|| quote!(_ => ::core::unreachable!("the resolver is that of another value"),));
    let resolve = |of: &TokenStream| {
        let arms = variants.iter().map(|variant| variant.resolve(engine, of));
        quote!(match (self, resolver) { #(#arms)* #other })
    };
    let decoded = variants.iter().map(|variant| variant.decode(engine, archived));
    let flat = variants.iter().flat_map(|variant| &variant.fields).map(|field| field.flat(engine));
    let (owned, itself) = (quote!(Self), quote!(#archived));
    Bodies {
        items: quote! {
            #[allow(unreachable_pub, missing_docs)]
            #[doc(hidden)]
            pub enum Resolver { #(#resolvers),* }
            #(#items)*
            const VARIANTS: &'static [#engine::data::Variant] = &[#(#list),*];
        },
        resolver: quote!(Resolver),
        encode: encode(&owned),
        resolve: resolve(&owned),
        encode_archived: encode(&itself),
        resolve_archived: resolve(&itself),
        decode: quote!(match archived { #(#decoded),* }),
        shape: quote!(#engine::data::Shape::Enum(#engine::data::Node::Static(VARIANTS))),
        flat: quote!(true #(&& #flat)*),
    }
}
