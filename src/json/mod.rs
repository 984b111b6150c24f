//! Reading parts of JSON texts without decoding the whole.

pub(crate) mod byte_search;
pub(crate) mod pointer;
