//! Waiting for optional work.

/// Returns the output of the work; without any, waits forever. As cancel safe as the work.
pub(crate) async fn or_never<T>(work: Option<impl Future<Output = T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
