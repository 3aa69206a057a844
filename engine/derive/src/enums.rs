//! Enums, with and without data. The tag is the variant's position.

use crate::{Bodies, Target, archived_attributes, fields, fields::FieldModel, implementations};
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
    /// The constant with the offsets of its fields.
    offsets: Ident,
    /// The constant with its list of fields.
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
            offsets: format_ident!("OFFSETS_{tag}"),
            list: format_ident!("FIELDS_{tag}"),
        })
    });
    let variants = variants.collect::<Result<Vec<_>, Error>>()?;
    let declaration = declaration(target, &variants);
    let implementations = implementations(target, &bodies(target, &variants));
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
        let Self { offsets, list, fields, .. } = self;
        let offset_list = fields::offsets(fields, engine, offsets, 1);
        let described = fields::described(fields, engine, offsets);
        quote! {
            #offset_list
            const #list: &'static [#engine::data::Field] = #described;
        }
    }

    fn encode(&self, engine: &TokenStream, of: &Ident, is_archived: bool) -> TokenStream {
        let (name, pattern) = (self.name, self.pattern());
        let encoded = self.fields.iter().map(|field| {
            let binding = &field.binding;
            field.encode(engine, is_archived, &quote!(#binding))
        });
        quote!(#of::#pattern => Resolver::#name(#(#encoded),*))
    }

    fn resolve(&self, engine: &TokenStream, of: &Ident, is_archived: bool) -> TokenStream {
        let Self { name, tag, offsets, .. } = self;
        let pattern = self.pattern();
        let resolvers = self.fields.iter().map(|field| &field.resolver);
        let resolved = self.fields.iter().enumerate().map(|(i, field)| {
            let binding = &field.binding;
            field.resolve(engine, is_archived, &quote!(#binding), &quote!(#offsets[#i]))
        });
        quote! {
            (#of::#pattern, Resolver::#name(#(#resolvers),*)) => {
                // SAFETY: the archived enum is `repr(u8)`: it begins with its tag.
                unsafe { #engine::data::derive::field::<_, u8>(out, 0) }.write(#tag);
                #(#resolved)*
            }
        }
    }

    fn check(&self, engine: &TokenStream, of: &Ident) -> TokenStream {
        let tag = &self.tag;
        let checks = fields::checks(&self.fields, engine, &self.offsets, &format!("{of}::{}", self.name));
        quote!(#tag => { #checks })
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
    let Target { name, archived, engine, .. } = target;
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
    let ends = variants.iter().map(|variant| {
        let (offsets, end) = (&variant.offsets, variant.fields.len());
        quote!(if #offsets[#end] > size { size = #offsets[#end]; })
    });
    let of = |is_archived: bool| if is_archived { *archived } else { *name };
    let encode = |is_archived| {
        let arms = variants.iter().map(|variant| variant.encode(engine, of(is_archived), is_archived));
        quote!(::core::result::Result::Ok(match self { #(#arms),* }))
    };
    // With one variant the last arm can't be reached, and rustc would say so.
    let other = (variants.len() > 1)
        .then(|| quote!(_ => ::core::unreachable!("the resolver is that of another value"),));
    let resolve = |is_archived| {
        let arms = variants.iter().map(|variant| variant.resolve(engine, of(is_archived), is_archived));
        quote!(match (self, resolver) { #(#arms)* #other })
    };
    let checks = variants.iter().map(|variant| variant.check(engine, name));
    let label = name.to_string();
    let decoded = variants.iter().map(|variant| variant.decode(engine, archived));
    let flat = variants.iter().flat_map(|variant| &variant.fields).map(|field| field.flat(engine));
    Bodies {
        items: quote! {
            #[allow(unreachable_pub, missing_docs)]
            #[doc(hidden)]
            pub enum Resolver { #(#resolvers),* }
            #(#items)*
            const VARIANTS: &'static [#engine::data::Variant] = &[#(#list),*];
            const SIZE: usize = {
                let mut size = 1;
                #(#ends)*
                size
            };
        },
        resolver: quote!(Resolver),
        encode: encode(false),
        resolve: resolve(false),
        encode_archived: encode(true),
        resolve_archived: resolve(true),
        check: quote! {
            // SAFETY: the caller's promise: all bytes of the root are there, and the first is the tag.
            match unsafe { *value } {
                #(#checks)*
                #[allow(unreachable_patterns)]
                tag => return ::core::result::Result::Err(#engine::data::derive::unknown_tag(#label, tag)),
            }
        },
        decode: quote!(match archived { #(#decoded),* }),
        size: quote!(SIZE),
        shape: quote!(#engine::data::Shape::Enum(#engine::data::Node::Static(VARIANTS))),
        flat: quote!(true #(&& #flat)*),
    }
}
