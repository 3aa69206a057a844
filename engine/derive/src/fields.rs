//! What structs and variants have in common: a list of fields.
//!
//! Everything that is written about a field has the span of its type, and names the type's traits in full, so that an
//! error about a type that is not `Data` points at the field.

use crate::attributes::has_default;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Fields, Ident, Member, Type, Visibility, spanned::Spanned};

/// One field.
pub(crate) struct FieldModel<'a> {
    vis: &'a Visibility,
    ident: Option<&'a Ident>,
    ty: &'a Type,
    pub(crate) member: Member,
    /// What the descriptor calls it.
    label: String,
    /// What patterns bind it to.
    pub(crate) binding: Ident,
    /// What patterns bind its resolver to.
    pub(crate) resolver: Ident,
    default: bool,
}

/// The fields, in the order of declaration.
pub(crate) fn model(fields: &Fields) -> Result<Vec<FieldModel<'_>>, Error> {
    let model = fields.iter().zip(fields.members()).enumerate().map(|(i, (field, member))| {
        let label = match &member {
            Member::Named(name) => name.to_string().trim_start_matches("r#").to_owned(),
            Member::Unnamed(index) => index.index.to_string(),
        };
        Ok(FieldModel {
            vis: &field.vis,
            ident: field.ident.as_ref(),
            ty: &field.ty,
            member,
            label,
            binding: format_ident!("field{i}"),
            resolver: format_ident!("resolver{i}"),
            default: has_default(&field.attrs)?,
        })
    });
    model.collect()
}

/// The constant array `name` of the offsets of all fields, and of their end: archived forms have no padding.
pub(crate) fn offsets(
    model: &[FieldModel<'_>],
    engine: &TokenStream,
    name: &Ident,
    start: usize,
) -> TokenStream {
    let count = model.len() + 1;
    let steps = model.iter().enumerate().map(|(i, field)| {
        let size = field.constant(engine, &quote!(DESCRIPTOR.size));
        let next = i + 1;
        quote!(offsets[#next] = offsets[#i] + #size as usize;)
    });
    quote! {
        const #name: [usize; #count] = {
            let mut offsets = [#start; #count];
            #(#steps)*
            offsets
        };
    }
}

/// `&[Field::new("price", OFFSETS[0], descriptor)]`: what the descriptor says of the fields.
pub(crate) fn described(model: &[FieldModel<'_>], engine: &TokenStream, offsets: &Ident) -> TokenStream {
    let fields = model.iter().enumerate().map(|(i, field)| {
        let label = &field.label;
        let constructor = if field.default { quote!(with_default) } else { quote!(new) };
        let descriptor = field.constant(engine, &quote!(DESCRIPTOR));
        quote!(#engine::data::Field::#constructor(#label, #offsets[#i], #descriptor))
    });
    quote!(&[#(#fields),*])
}

/// The check of the fields of untrusted bytes at `value`.
pub(crate) fn checks(
    model: &[FieldModel<'_>],
    engine: &TokenStream,
    offsets: &Ident,
    of: &str,
) -> TokenStream {
    let checks = model.iter().enumerate().map(|(i, field)| {
        let (archived, label) = (field.archived(engine), &field.label);
        quote_spanned! {field.ty.span()=>
            // SAFETY: the caller's promise about the whole holds for the field.
            unsafe { #engine::data::derive::check::<#archived>(value, #offsets[#i], context, #of, #label)? };
        }
    });
    quote!(#(#checks)*)
}

impl FieldModel<'_> {
    fn constant(&self, engine: &TokenStream, path: &TokenStream) -> TokenStream {
        let ty = self.ty;
        quote_spanned!(ty.span()=> <#ty as #engine::data::Encode>::#path)
    }

    /// The archived type.
    pub(crate) fn archived(&self, engine: &TokenStream) -> TokenStream {
        self.constant(engine, &quote!(Archived))
    }

    /// The type of the resolver, which is the same for the owned and for the archived form.
    pub(crate) fn resolver_type(&self, engine: &TokenStream) -> TokenStream {
        self.constant(engine, &quote!(Resolver))
    }

    pub(crate) fn flat(&self, engine: &TokenStream) -> TokenStream {
        self.constant(engine, &quote!(FLAT))
    }

    /// The type that values of the owned or archived form have here.
    fn landing(&self, engine: &TokenStream, is_archived: bool) -> TokenStream {
        let ty = self.ty;
        if is_archived { self.archived(engine) } else { quote!(#ty) }
    }

    /// The call that writes what lies out of line; `value` is a reference.
    pub(crate) fn encode(&self, engine: &TokenStream, is_archived: bool, value: &TokenStream) -> TokenStream {
        let landing = self.landing(engine, is_archived);
        quote_spanned!(self.ty.span()=> <#landing as #engine::data::Encode>::encode(#value, encoder)?)
    }

    /// The call that fills in the root, at an offset from the start of `out`.
    pub(crate) fn resolve(
        &self,
        engine: &TokenStream,
        is_archived: bool,
        value: &TokenStream,
        offset: &TokenStream,
    ) -> TokenStream {
        let (landing, resolver) = (self.landing(engine, is_archived), &self.resolver);
        quote_spanned! {self.ty.span()=>
            // SAFETY: a field of this type lies at this offset: archived forms have no padding.
            let place = unsafe { #engine::data::derive::field(out, #offset) };
            <#landing as #engine::data::Encode>::resolve(#value, #resolver, place);
        }
    }

    /// The field's line in the declaration of the archived type.
    pub(crate) fn declaration(&self, engine: &TokenStream, has_vis: bool) -> TokenStream {
        let doc = format!("The archived form of `{}`.", self.label);
        let ty = self.archived(engine);
        let vis = has_vis.then_some(self.vis);
        match self.ident {
            Some(ident) => quote!(#[doc = #doc] #vis #ident: #ty),
            None => quote!(#[doc = #doc] #vis #ty),
        }
    }

    pub(crate) fn decode(&self, engine: &TokenStream, value: &TokenStream) -> TokenStream {
        let (ty, member) = (self.ty, &self.member);
        quote_spanned!(ty.span()=> #member: <#ty as #engine::Data>::decode(#value))
    }
}
