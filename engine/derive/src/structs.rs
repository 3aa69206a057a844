//! Structs: named, tuple and unit.

use crate::{Bodies, Target, archived_attributes, descriptor, fields, fields::FieldModel, implementations};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Fields};

pub(crate) fn expand(target: &Target<'_>, fields: &Fields) -> Result<TokenStream, Error> {
    let model = fields::model(fields)?;
    let declaration = declaration(target, fields, &model);
    let bodies = bodies(target, fields, &model);
    let implementations = implementations(target, &bodies);
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

fn bodies(target: &Target<'_>, fields: &Fields, model: &[FieldModel<'_>]) -> Bodies {
    let Target { archived, engine, .. } = target;
    let resolver_types = model.iter().map(|field| field.resolver_type(engine));
    let members: Vec<_> = model.iter().map(|field| &field.member).collect();
    let bindings: Vec<_> = model.iter().map(|field| &field.binding).collect();
    let resolvers: Vec<_> = model.iter().map(|field| &field.resolver).collect();
    let list = descriptor::fields(model, engine, |_, field| {
        let member = &field.member;
        quote!(::core::mem::offset_of!(#archived, #member))
    });

    let encode = quote! {
        ::core::result::Result::Ok(Resolver(#(#engine::data::Encode::encode(&self.#members, encoder)?),*))
    };
    let pattern = match fields {
        Fields::Named(_) => quote!(#archived { #(#members: #bindings),* }),
        Fields::Unnamed(_) => quote!(#archived(#(#bindings),*)),
        Fields::Unit => quote!(#archived),
    };
    let resolve = if model.is_empty() {
        quote!(let (Resolver(), _) = (resolver, out);)
    } else {
        quote! {
            #engine::rkyv::munge::munge!(let #pattern = out);
            let Resolver(#(#resolvers),*) = resolver;
            #(#engine::data::Encode::resolve(&self.#members, #resolvers, #bindings);)*
        }
    };
    let decoded = model.iter().map(|field| {
        let member = &field.member;
        field.decode(engine, &quote!(&archived.#member))
    });
    let flat = model.iter().map(|field| field.flat(engine));
    Bodies {
        items: quote! {
            #[allow(unreachable_pub, missing_docs)]
            #[doc(hidden)]
            pub struct Resolver(#(#resolver_types),*);
            const FIELDS: &'static [#engine::data::Field] = #list;
        },
        resolver: quote!(Resolver),
        encode_archived: encode.clone(),
        encode,
        resolve_archived: resolve.clone(),
        resolve,
        decode: quote!(Self { #(#decoded),* }),
        shape: quote!(#engine::data::Shape::Struct(#engine::data::Node::Static(FIELDS))),
        flat: quote!(true #(&& #flat)*),
    }
}
