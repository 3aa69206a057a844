//! Structs: named, tuple and unit.

use crate::{Bodies, Target, archived_attributes, fields, fields::FieldModel, implementations};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Fields};

pub(crate) fn expand(target: &Target<'_>, fields: &Fields) -> Result<TokenStream, Error> {
    let model = fields::model(fields)?;
    let declaration = declaration(target, fields, &model);
    let implementations = implementations(target, &bodies(target, &model));
    Ok(quote!(#declaration #implementations))
}

fn declaration(target: &Target<'_>, fields: &Fields, model: &[FieldModel<'_>]) -> TokenStream {
    let Target { vis, archived, engine, .. } = target;
    let attributes = archived_attributes(target, &quote!(C));
    let lines = model.iter().map(|field| field.declaration(engine, true));
    let body = match fields {
        Fields::Named(_) => quote!({ #(#lines),* }),
        Fields::Unnamed(_) => quote!(( #(#lines),* );),
        Fields::Unit => quote!(;),
    };
    quote!(#attributes #vis struct #archived #body)
}

fn bodies(target: &Target<'_>, model: &[FieldModel<'_>]) -> Bodies {
    let Target { name, engine, .. } = target;
    let offsets = format_ident!("OFFSETS");
    let offset_list = fields::offsets(model, engine, &offsets, 0);
    let described = fields::described(model, engine, &offsets);
    let resolvers: Vec<_> = model.iter().map(|field| &field.resolver).collect();
    let resolver_types = model.iter().map(|field| field.resolver_type(engine));
    let end = model.len();

    let encode = |is_archived| {
        let encoded = model.iter().map(|field| {
            let member = &field.member;
            field.encode(engine, is_archived, &quote!(&self.#member))
        });
        quote!(::core::result::Result::Ok((#(#encoded,)*)))
    };
    let resolve = |is_archived| {
        let resolved = model.iter().enumerate().map(|(i, field)| {
            let member = &field.member;
            field.resolve(engine, is_archived, &quote!(&self.#member), &quote!(#offsets[#i]))
        });
        quote! {
            let (#(#resolvers,)*) = resolver;
            let _ = &out;
            #(#resolved)*
        }
    };
    let decoded = model.iter().map(|field| {
        let member = &field.member;
        field.decode(engine, &quote!(&archived.#member))
    });
    let flat = model.iter().map(|field| field.flat(engine));
    Bodies {
        items: quote! {
            #offset_list
            const FIELDS: &'static [#engine::data::Field] = #described;
        },
        resolver: quote!((#(#resolver_types,)*)),
        encode: encode(false),
        resolve: resolve(false),
        encode_archived: encode(true),
        resolve_archived: resolve(true),
        check: fields::checks(model, engine, &offsets, &name.to_string()),
        decode: quote!(Self { #(#decoded),* }),
        size: quote!(#offsets[#end]),
        shape: quote!(#engine::data::Shape::Struct(#engine::data::Node::Static(FIELDS))),
        flat: quote!(true #(&& #flat)*),
    }
}
