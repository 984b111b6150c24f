//! What holds on every system: a child and all that it starts is ended, servers on sockets are joined, and the proxy says
//! what its transcripts say.
//!
//! There is no shell here and no `/proc`, so that it runs under Windows, Wine and macOS as on Linux. It has its own `main`,
//! for its binary is also the app-server that it starts, what that starts in turn, and the program that is killed.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod ends;
#[path = "../cas/fake.rs"]
mod fake;
#[path = "../cas/golden.rs"]
mod golden;
#[path = "../cas/instance.rs"]
mod instance;
mod proxy;
mod roll;
mod server;
#[cfg(windows)]
mod shims;
mod sockets;

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

/// How this binary is asked to be the fake app-server of the proxy.
#[cfg(unix)]
const AS_FAKE: &str = "app-server";

macro_rules! trials {
    ($($module:ident { $($name:ident)* })*) => {
        vec![$($(trial(concat!(stringify!($module), "::", stringify!($name)), $module::$name)),*),*]
    };
}

fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        test();
        Ok(())
    })
}

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("app-server") if env::var_os(roll::ADDRESS).is_none() => fake::run(std::io::stdout()),
        Some("app-server") => server::run(),
        Some("started") => server::started(),
        Some("host") => ends::host(),
        _ => {}
    }
    let mut trials = trials! {
        ends {
            each_rung_of_the_ladder_ends_what_the_one_before_did_not
            a_tree_of_processes_is_ended_by_a_shutdown
            the_tree_of_a_server_that_died_is_ended
            a_dropped_client_leaves_nothing
            a_dropped_runtime_leaves_nothing
            a_start_that_is_refused_leaves_nothing
            a_killed_host_leaves_nothing
            a_registry_can_be_asked_for
            lines_may_end_as_those_of_windows
        }
        proxy {
            an_instance_ends_with_the_end_of_its_commands
            text_beyond_ascii_comes_through_the_pipes
        }
        sockets {
            a_server_on_ws_is_joined
            a_server_on_wss_is_joined
        }
    };
    #[cfg(windows)]
    trials.extend(trials! {
        shims {
            a_command_script_is_ended_with_what_it_starts
            arguments_reach_a_command_script_whole
        }
        sockets {
            a_unix_socket_is_refused_with_what_to_do_instead
        }
    });
    for name in golden::NAMES {
        let play = move || golden::play(name);
        trials.push(trial(&format!("golden::{name}"), play));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
