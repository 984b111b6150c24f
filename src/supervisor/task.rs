//! The task that waits for the end of a connection and makes the next one.

use std::{future::pending, pin::pin, sync::Arc};

use futures_util::future::{Either, join_all, select};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    core::{Core, KeptThread},
    policy::Restart,
    source::Source,
    state::ServerState,
};
use crate::{
    CasClient, RpcErrorKind,
    error::{CloseCause, Error},
};

pub(super) struct Task {
    pub(super) core: Arc<Core>,
    pub(super) source: Source,
    pub(super) policy: Restart,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) epoch: u64,
}

impl Task {
    pub(super) async fn run(mut self, mut client: CasClient) {
        let mut failures = 0;
        loop {
            let since = Instant::now();
            let reason = self.closed(&client).await;
            if reason.cause == CloseCause::Shutdown || *self.stopped.borrow() {
                return self.core.end(ServerState::Stopped);
            }
            if since.elapsed() >= self.policy.reset_after {
                failures = 0;
            }
            let lost;
            (client, lost) = match self.go_on(Error::Closed(reason), &mut failures).await {
                Ok(next) => next,
                Err(end) => return self.core.end(end),
            };
            let before = {
                let mut current = self.core.lock();
                current.epoch = self.epoch;
                current.client.replace(client.clone())
            };
            drop(before);
            self.core.state.send_replace(ServerState::Running {
                epoch: self.epoch,
                lost,
            });
        }
    }

    /// Waits for the end of a connection. A stop ends it.
    async fn closed(&mut self, client: &CasClient) -> Arc<crate::error::CloseReason> {
        // Both waits are cancel safe.
        let ended = {
            let stopped = pin!(told_to_stop(&mut self.stopped));
            match select(pin!(client.closed()), stopped).await {
                Either::Left((reason, _)) => Some(reason),
                Either::Right(_) => None,
            }
        };
        match ended {
            Some(reason) => reason,
            None => client.shutdown().await,
        }
    }

    /// Connects until an attempt succeeds or the policy gives up, and resumes the threads.
    async fn go_on(
        &mut self,
        mut error: Error,
        failures: &mut u32,
    ) -> Result<(CasClient, Vec<(String, Error)>), ServerState> {
        loop {
            if *failures >= self.policy.attempts || Source::is_final(&error) {
                return Err(ServerState::GaveUp { error });
            }
            let pause = self.policy.backoff.pause(*failures);
            *failures += 1;
            let attempt = *failures;
            tracing::warn!(target: "cas_sdk", %error, ?pause, attempt, "the supervisor connects again");
            self.core.state.send_replace(ServerState::Reconnecting {
                attempt,
                pause,
                error,
            });
            {
                let stopped = pin!(told_to_stop(&mut self.stopped));
                if let Either::Right(_) = select(pin!(sleep(pause)), stopped).await {
                    return Err(ServerState::Stopped);
                }
            }
            // A stop does not cancel the attempt: it ends within its own deadline and leaves
            // nothing running. The caller sees the stop.
            let client = match self.source.connect().await {
                Ok(client) => client,
                Err(e) => {
                    error = e;
                    continue;
                }
            };
            self.epoch += 1;
            let resumed = {
                let stopped = pin!(told_to_stop(&mut self.stopped));
                let resumed = pin!(resume_threads(&self.core, &client, self.epoch));
                match select(resumed, stopped).await {
                    Either::Left((lost, _)) => Some(lost),
                    Either::Right(_) => None,
                }
            };
            let Some(lost) = resumed else {
                client.shutdown().await;
                return Err(ServerState::Stopped);
            };
            if let Some(reason) = client.close_reason() {
                error = Error::Closed(reason);
                continue;
            }
            let draining = lost.iter().find(|(_, error)| is_draining(error));
            let Some((_, refusal)) = draining else {
                return Ok((client, lost));
            };
            // This server takes no more work and ends once its turns have ended. That takes as long
            // as they run, so the attempt does not count.
            *failures -= 1;
            self.core.state.send_replace(ServerState::Reconnecting {
                attempt,
                pause: std::time::Duration::ZERO,
                error: refusal.clone(),
            });
            let reason = self.closed(&client).await;
            if *self.stopped.borrow() {
                return Err(ServerState::Stopped);
            }
            error = Error::Closed(reason);
        }
    }
}

/// Resumes all kept threads concurrently. Returns those that could not be resumed.
async fn resume_threads(core: &Core, client: &CasClient, epoch: u64) -> Vec<(String, Error)> {
    let kept: Vec<(String, KeptThread)> = {
        let current = core.lock();
        let kept = current.threads.iter();
        kept.map(|(id, kept)| (id.clone(), kept.clone())).collect()
    };
    let resumed = join_all(kept.into_iter().map(|(id, kept)| async move {
        let resumed = core.resume(client, epoch, &id, kept).await;
        (id, resumed)
    }));
    let resumed = resumed.await.into_iter();
    resumed
        .filter_map(|(id, resumed)| Some((id, resumed.err()?)))
        .collect()
}

/// Waits until the supervisor is told to stop. Cancel safe.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    if stopped.wait_for(|stop| *stop).await.is_err() {
        // NB. The last supervisor was dropped, which ends this task and not its client.
        pending::<()>().await;
    }
}

fn is_draining(error: &Error) -> bool {
    error.rpc_kind() == Some(RpcErrorKind::Draining)
}

impl Drop for Task {
    fn drop(&mut self) {
        // The task is done, its runtime ends, or the last supervisor is dropped.
        if !self.core.state.borrow().is_last() {
            self.core.end(ServerState::Stopped);
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::{pin::pin, sync::Arc};

    use futures_util::FutureExt as _;
    use tokio::sync::watch;

    use crate::{
        CasClient,
        protocol::ModelListParams,
        supervisor::{core::Core, policy::Restart, source::Source, task::Task},
        testing::FakeServer,
    };

    /// A task on another thread may still be polled once, between the drop and the abort.
    #[tokio::test]
    async fn a_client_outlives_its_supervisor_though_the_task_notices_the_drop() {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = Task {
            core: Arc::new(Core::new(client.clone())),
            source: Source::Start(Box::new(CasClient::builder())),
            policy: Restart::default(),
            stopped,
            epoch: 0,
        };
        let mut running = pin!(task.run(client.clone()));
        assert!(running.as_mut().now_or_never().is_none());
        drop(stop);
        for _ in 0..10 {
            assert!(running.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        assert!(!server.is_closed() && client.close_reason().is_none());
        server.answer("model/list", |_| Ok(serde_json::json!({"data": []})));
        client.request(ModelListParams::default()).await.unwrap();
    }
}
