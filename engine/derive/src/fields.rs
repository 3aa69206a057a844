//! What structs and variants have in common: a list of fields.

use crate::attributes::has_default;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Fields, Ident, Member, Type, Visibility, spanned::Spanned};

/// One field.
pub(crate) struct FieldModel<'a> {
    pub(crate) vis: &'a Visibility,
    pub(crate) ident: Option<&'a Ident>,
    pub(crate) ty: &'a Type,
    pub(crate) member: Member,
    /// What the descriptor calls it.
    pub(crate) label: String,
    /// What patterns bind it to.
    pub(crate) binding: Ident,
    /// What patterns bind its resolver to.
    pub(crate) resolver: Ident,
    pub(crate) default: bool,
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

impl FieldModel<'_> {
    /// The archived type; an error about it points at the field's type.
    pub(crate) fn archived(&self, engine: &TokenStream) -> TokenStream {
        let ty = self.ty;
        quote_spanned!(ty.span()=> <#ty as #engine::data::Encode>::Archived)
    }

    pub(crate) fn resolver_type(&self, engine: &TokenStream) -> TokenStream {
        let ty = self.ty;
        // The resolver of the archived form: both land alike, so the owned one's must be the same type. Where it is
        // not (an `Option<&str>` could be), rustc says so at the field.
        quote_spanned!(ty.span()=> <#ty as #engine::data::Encode>::Resolver)
    }

    /// The field's line in the declaration of the archived type.
    pub(crate) fn declaration(&self, engine: &TokenStream, vis: bool) -> TokenStream {
        let doc = format!("The archived form of `{}`.", self.label);
        let ty = self.archived(engine);
        let vis = vis.then_some(self.vis);
        match self.ident {
            Some(ident) => quote!(#[doc = #doc] #vis #ident: #ty),
            None => quote!(#[doc = #doc] #vis #ty),
        }
    }

    pub(crate) fn flat(&self, engine: &TokenStream) -> TokenStream {
        let ty = self.ty;
        quote_spanned!(ty.span()=> <#ty as #engine::data::Encode>::FLAT)
    }

    pub(crate) fn decode(&self, engine: &TokenStream, value: &TokenStream) -> TokenStream {
        let (ty, member) = (self.ty, &self.member);
        quote_spanned!(ty.span()=> #member: <#ty as #engine::Data>::decode(#value))
    }
}
