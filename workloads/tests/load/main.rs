//! The clients against librdkafka's mock cluster.

#![expect(clippy::unwrap_used, reason = "a failing step is a failing test")]

mod backlog;
mod clients;
mod direct;
mod fatal;
mod lab;
mod offered;
mod order;
mod rates;
mod recorded;
mod stalls;
mod topics;

/// The worker process of tests in `clients`, which start this very program to run it.
#[test]
#[ignore = "a process of another test"]
fn worker() {
    let code = workloads::worker_main();
    assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
}
