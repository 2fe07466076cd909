//! Network namespaces for tests: a test touches the network of its own threads and of no one else.

#![allow(clippy::unwrap_used)]

use std::{
    future::Future,
    process::{Command, id},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::gettid,
};

/// Runs a test on a thread in a fresh network namespace, on a runtime of that thread. The namespace ends with the
/// thread. Programs that the test runs are in it too.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let run = || {
        enter();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Another machine: a second namespace with a thread that works in it.
pub(crate) struct Machine {
    /// Where `ip link set … netns` finds it.
    pub path: String,
    work: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let (work, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (send_path, path) = mpsc::channel();
        thread::spawn(move || {
            enter();
            send_path
                .send(format!("/proc/{}/task/{}/ns/net", id(), gettid()))
                .unwrap();
            jobs.into_iter().for_each(|job| job());
        });
        Machine {
            path: path.recv().unwrap(),
            work,
        }
    }

    /// Runs something there and waits for it.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let (done, wait) = mpsc::channel();
        self.start(move || {
            job();
            done.send(()).unwrap();
        });
        wait.recv().expect("the job panicked");
    }

    /// Runs something there and does not wait.
    pub(crate) fn start(&self, job: impl FnOnce() + Send + 'static) {
        self.work.send(Box::new(job)).unwrap();
    }
}

fn enter() {
    unshare(CloneFlags::CLONE_NEWNET).expect("tests of the network need root");
    ip("link set lo up");
}

/// `/sys/class/net` of this thread's namespace, below the given directory. The mount is seen by this thread alone.
#[allow(dead_code, reason = "not every test program looks at it")]
pub(crate) fn mount_sysfs(on: &std::path::Path) -> std::path::PathBuf {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    run("mount", "--make-rprivate /");
    run("mount", &format!("-t sysfs sysfs {}", on.display()));
    on.join("class/net")
}

/// Waits until an interface that was set up is ready to send.
pub(crate) fn wait_for_link(name: &str) {
    while !run("ip", &format!("-o link show dev {name}")).contains("state UP") {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) {
    run("ip", words);
}

/// Runs a program with these words; it has to succeed.
pub(crate) fn run(program: &str, words: &str) -> String {
    let output = Command::new(program)
        .args(words.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
