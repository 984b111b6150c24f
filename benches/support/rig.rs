//! A client over a pipe in memory, and interleaved measurements.

use std::time::{Duration, Instant};

use cas_sdk::CasClient;
use criterion::{BenchmarkGroup, Throughput, measurement::WallTime};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream},
    runtime::{Builder, Runtime},
};

pub(crate) const PIPE: usize = 256 * 1024;

/// A client, and the server's end of its pipe.
pub(crate) async fn connected() -> (CasClient, DuplexStream) {
    let (near, far) = tokio::io::duplex(PIPE);
    let (read, write) = tokio::io::split(near);
    let serve = tokio::spawn(async move {
        let mut far = BufReader::new(far);
        far.read_line(&mut String::new()).await.expect("initialize");
        far.write_all(b"{\"id\":1,\"result\":{\"userAgent\":\"bench/0\"}}\n")
            .await
            .expect("its answer");
        far.read_line(&mut String::new())
            .await
            .expect("initialized");
        far.into_inner()
    });
    // Room for a whole run, since every event must be read.
    let client = CasClient::builder()
        .event_queue(100_000, usize::MAX)
        .connect(read, write)
        .await
        .expect("connects");
    (client, serve.await.expect("a server"))
}

pub(crate) fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

pub(crate) fn two_threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A measurement. One run does `size` operations.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) size: u32,
    run: Box<dyn FnMut()>,
    wall: Duration,
    cpu: Duration,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, size: u32, run: impl FnMut() + 'static) -> Self {
        Self {
            name: name.into(),
            size,
            run: Box::new(run),
            wall: Duration::MAX,
            cpu: Duration::MAX,
        }
    }

    /// Runs once more. The least time counts, since other load only adds to it.
    pub(crate) fn measure(&mut self) {
        let (at, cpu) = (Instant::now(), cpu_time());
        (self.run)();
        self.wall = self.wall.min(at.elapsed());
        self.cpu = self.cpu.min(cpu_time().saturating_sub(cpu));
    }

    pub(crate) fn bench(&mut self, group: &mut BenchmarkGroup<'_, WallTime>) {
        group.throughput(Throughput::Elements(u64::from(self.size)));
        group.bench_function(&self.name, |b| b.iter(|| (self.run)()));
    }

    pub(crate) fn row(&self, floor: &Self) {
        let each = |time: Duration, of: &Self| time.as_secs_f64() * 1e9 / f64::from(of.size);
        let (wall, cpu) = (each(self.wall, self), each(self.cpu, self));
        println!(
            "{:<52} {wall:>9.0} {cpu:>9.0} {:>8.2} {:>8.2}",
            self.name,
            wall / each(floor.wall, floor),
            cpu / each(floor.cpu, floor),
        );
    }
}

/// The CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
