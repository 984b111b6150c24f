//! Waiting for what there may be.

/// What the work gives; without any, this waits for ever. As cancel safe as the work is.
pub(crate) async fn or_never<T>(work: Option<impl Future<Output = T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
