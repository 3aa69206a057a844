//! `#[derive(Data)]`: the archived form of a type, and its descriptor.
//!
//! For `struct Bid` the derive writes `struct ArchivedBid` of the same visibility, with the same fields in archived
//! form, laid out as declared (`repr(C)`; an enum is `repr(u8)`), and implements
//!
//! - `Encode` for both, so that a value lands as its archived form and an archived value as itself;
//! - `Data` for `Bid`: the descriptor and the way back.
//!
//! Attributes on the type: `#[data(version = 2)]`, `#[data(archived(Debug, PartialEq))]` (derives for the archived
//! type), `#[data(crate = path)]` where the engine is not `::millrace_engine`. On a field: `#[data(default)]`, which lets
//! values written before the field existed be migrated.

mod attributes;
mod enums;
mod fields;
mod structs;

use attributes::TypeAttributes;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Ident, Visibility, parse_macro_input, spanned::Spanned};

/// Gives a struct or enum its archived form and descriptor: see the crate's documentation, and `Data`'s.
#[proc_macro_derive(Data, attributes(data))]
pub fn derive_data(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// What every part of the expansion needs.
struct Target<'a> {
    vis: &'a Visibility,
    name: &'a Ident,
    archived: &'a Ident,
    /// The engine's crate.
    engine: TokenStream,
    attributes: TypeAttributes,
}

fn expand(input: &DeriveInput) -> Result<TokenStream, Error> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "`Data` can't be derived for a generic type: its descriptor is one static value, \
             so write a struct for each use",
        ));
    }
    let attributes = TypeAttributes::parse(&input.attrs)?;
    let engine = match &attributes.engine {
        Some(path) => quote!(#path),
        None => quote!(::millrace_engine),
    };
    let archived = format_ident!("Archived{}", input.ident);
    let target = Target { vis: &input.vis, name: &input.ident, archived: &archived, engine, attributes };
    match &input.data {
        Data::Struct(data) => structs::expand(&target, &data.fields),
        Data::Enum(data) => enums::expand(&target, input, data),
        Data::Union(data) => Err(Error::new(
            data.union_token.span(),
            "`Data` can't be derived for a union: use an enum, which says which field is there",
        )),
    }
}

/// The attributes of an archived type: documentation, derives, and the layout.
fn archived_attributes(target: &Target<'_>, repr: &TokenStream) -> TokenStream {
    let doc = format!("The archived form of [`{}`], read in place.", target.name);
    let derives = &target.attributes.derives;
    quote! {
        #[doc = #doc]
        #[allow(dead_code, reason = "never constructed, and it is for the user to read the fields or not")]
        #[derive(#(#derives),*)]
        #[repr(#repr)]
    }
}

/// What the implementations of a struct and of an enum differ in.
struct Bodies {
    /// Items that the bodies use: resolvers, offsets, field lists.
    items: TokenStream,
    resolver: TokenStream,
    encode: TokenStream,
    resolve: TokenStream,
    encode_archived: TokenStream,
    resolve_archived: TokenStream,
    check: TokenStream,
    decode: TokenStream,
    size: TokenStream,
    shape: TokenStream,
    flat: TokenStream,
}

fn implementations(target: &Target<'_>, bodies: &Bodies) -> TokenStream {
    let Target { name, archived, engine, .. } = target;
    let Bodies { items, check, decode, size, .. } = bodies;
    let owned = encode_for(target, bodies, name, &bodies.encode, &bodies.resolve);
    let itself = encode_for(target, bodies, archived, &bodies.encode_archived, &bodies.resolve_archived);
    quote! {
        const _: () = {
            #items

            const _: () = ::core::assert!(
                ::core::mem::size_of::<#archived>() == #size,
                "archived forms have no padding"
            );

            // SAFETY: the layout is fixed by its repr, and every field's type is itself portable, which `Encode`
            // requires of archived forms.
            unsafe impl #engine::rkyv::traits::Portable for #archived {}

            // SAFETY: every field is checked, and the tag.
            unsafe impl<'checked> #engine::rkyv::bytecheck::CheckBytes<#engine::data::Validator<'checked>>
                for #archived
            {
                unsafe fn check_bytes(
                    value: *const Self,
                    context: &mut #engine::data::Validator<'checked>,
                ) -> ::core::result::Result<(), #engine::data::ArchiveError> {
                    let value = value.cast::<u8>();
                    let _ = (&value, &context);
                    #check
                    ::core::result::Result::Ok(())
                }
            }

            #owned
            #itself

            #[automatically_derived]
            impl #engine::Data for #name {
                #[inline]
                fn decode(archived: &#archived) -> Self {
                    #decode
                }
            }
        };
    }
}

/// `Encode` for the owned or for the archived type.
fn encode_for(
    target: &Target<'_>,
    bodies: &Bodies,
    ty: &Ident,
    encode: &TokenStream,
    resolve: &TokenStream,
) -> TokenStream {
    let Target { name, archived, engine, attributes, .. } = target;
    let Bodies { resolver, size, shape, flat, .. } = bodies;
    let (label, version) = (name.to_string(), attributes.version);
    quote! {
        #[automatically_derived]
        impl #engine::data::Encode for #ty {
            type Archived = #archived;
            type Resolver = #resolver;
            const DESCRIPTOR: &'static #engine::data::Descriptor =
                &#engine::data::Descriptor::named(#label, #version, #size, #shape);
            const FLAT: bool = #flat;

            #[inline]
            fn encode(
                &self,
                encoder: &mut #engine::data::Encoder<'_>,
            ) -> ::core::result::Result<Self::Resolver, #engine::data::ArchiveError> {
                #encode
            }

            #[inline]
            fn resolve(&self, resolver: Self::Resolver, out: #engine::rkyv::Place<#archived>) {
                #resolve
            }
        }
    }
}
