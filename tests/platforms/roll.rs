//! Who is there: each process of a test connects, says its name, and is gone when its connection is.
//!
//! The system closes the connection of a process that ends, however it ends, so nothing has to be asked about numbers.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// The variable that says where to connect.
pub const ADDRESS: &str = "FAKE_ROLL";

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Roll {
    pub address: String,
    /// Whether each that came is still there.
    seen: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl Roll {
    pub fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let shared = seen.clone();
        // NB. Detached: it ends with the program, and waits for nobody.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = shared.clone();
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    let mut name = String::new();
                    if stream.read_line(&mut name).is_err() {
                        return;
                    }
                    let name = name.trim().to_owned();
                    seen.lock().unwrap().insert(name.clone(), true);
                    let _ = stream.read(&mut [0]); // Nothing more is said: this is the end.
                    seen.lock().unwrap().insert(name, false);
                });
            }
        });
        Self { address, seen }
    }

    /// Waits until one with each of the names has come.
    pub fn wait_for(&self, names: &[&str]) {
        self.wait(&format!("{names:?} came"), |seen| {
            names.iter().all(|name| seen.contains_key(*name))
        });
    }

    /// Waits until all that came are gone.
    pub fn all_gone(&self) {
        self.wait("all are gone", |seen| seen.values().all(|there| !there));
    }

    fn wait(&self, what: &str, holds: impl Fn(&BTreeMap<String, bool>) -> bool) {
        let begun = Instant::now();
        loop {
            let seen = self.seen.lock().unwrap().clone();
            if holds(&seen) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}: {seen:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Puts this process on the roll. It is there until the connection is dropped.
pub fn attend(name: &str) -> TcpStream {
    let address = env::var(ADDRESS).expect("the test says where");
    let mut stream = TcpStream::connect(address).expect("the test listens");
    writeln!(stream, "{name}").expect("the test reads");
    stream
}
