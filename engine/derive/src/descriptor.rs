//! The descriptor's list of fields.

use crate::fields::FieldModel;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

/// `Field::new("price", offset, descriptor)` for each field; the offset is that which `offset` gives.
pub(crate) fn fields(
    model: &[FieldModel<'_>],
    engine: &TokenStream,
    mut offset: impl FnMut(usize, &FieldModel<'_>) -> TokenStream,
) -> TokenStream {
    let fields = model.iter().enumerate().map(|(i, field)| {
        let (ty, label) = (field.ty, &field.label);
        let offset = offset(i, field);
        let constructor = if field.default { quote!(with_default) } else { quote!(new) };
        let descriptor = quote_spanned!(ty.span()=> <#ty as #engine::data::Encode>::DESCRIPTOR);
        quote!(#engine::data::Field::#constructor(#label, #offset, #descriptor))
    });
    quote!(&[#(#fields),*])
}
