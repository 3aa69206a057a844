use crate::{AlignedBuf, bell::Inbox};
use std::rc::Rc;
pub(crate) fn register_inbox(_inbox: Rc<dyn Inbox>) {
    todo!()
}
pub(crate) fn registered_buffer(len: usize) -> AlignedBuf {
    AlignedBuf::zeroed(len)
}
