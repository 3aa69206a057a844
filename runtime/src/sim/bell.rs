#[derive(Clone, Debug)]
pub(crate) struct Bell;
impl Bell {
    pub(crate) fn ring(&self) {
        todo!()
    }
}
