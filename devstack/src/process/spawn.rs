//! How is a child started so that it never outlives its supervisor by accident?

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{OnceLock, PoisonError, mpsc};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// When a child ends besides being told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifetime {
    /// The kernel sends the child this signal when the supervisor dies, however it dies.
    Tied(#[serde(with = "by_number")] Signal),
    /// The child stays, in a session of its own: closing the terminal does not reach it.
    Detached,
}

/// A signal in a state file: its number on this machine.
pub(super) mod by_number {
    use rustix::process::Signal;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::process) fn serialize<S: Serializer>(signal: &Signal, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_i32(signal.as_raw())
    }

    pub(in crate::process) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Signal, D::Error> {
        let number = i32::deserialize(from)?;
        Signal::from_named_raw(number).ok_or_else(|| D::Error::custom(format!("{number} is no signal")))
    }
}

/// Starts the command in a process group of its own.
pub(super) fn spawn(mut command: Command, lifetime: Lifetime) -> io::Result<Child> {
    arrange(&mut command, lifetime);
    let (reply, answer) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes is gone");
    starter().send(Order { command, reply }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

struct Order {
    command: Command,
    reply: mpsc::SyncSender<io::Result<Child>>,
}

/// One thread that lives as long as this process and starts every child: the kernel ties a child's
/// parent-death signal to the *thread* that forked it (prctl(2)), and runtime threads come and go.
fn starter() -> mpsc::Sender<Order> {
    static STARTER: OnceLock<std::sync::Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for mut order in inbox {
                // A caller that no longer waits leaves the child to nobody: end it at once.
                if let Err(mpsc::SendError(Ok(mut orphan))) = order.reply.send(order.command.spawn()) {
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        });
        std::sync::Mutex::new(orders)
    });
    starter.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[expect(unsafe_code, reason = "std offers no safe way to run prctl and setsid between fork and exec")]
fn arrange(command: &mut Command, lifetime: Lifetime) {
    let supervisor = rustix::process::getpid();
    let before_exec = move || match lifetime {
        Lifetime::Tied(signal) => {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // The supervisor may have died before the line above; then no signal will ever come.
            if rustix::process::getppid() == Some(supervisor) {
                Ok(())
            } else {
                Err(rustix::io::Errno::SRCH.into())
            }
        }
        Lifetime::Detached => rustix::process::setsid().map(drop).map_err(io::Error::from),
    };
    if let Lifetime::Tied(_) = lifetime {
        command.process_group(0);
    }
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are allowed. It makes
    // three system calls (prctl, getppid, setsid) straight through rustix, allocates nothing (an `io::Error`
    // from an errno holds no heap memory) and takes no lock.
    unsafe {
        command.pre_exec(before_exec);
    }
}
