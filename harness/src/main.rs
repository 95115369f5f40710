//! scratch
use std::sync::Arc;
use kbench::*;
use spec::Spec;
fn main() -> std::process::ExitCode {
    let a: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    match a.first().and_then(|a| a.to_str()) {
        Some(sandbox::SUBCOMMAND) => return sandbox::init_main(&a[1..]),
        Some(sandbox::TRY) => return sandbox::try_main(),
        Some("lab") => {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let l = tokio::task::LocalSet::new();
            rt.block_on(l.run_until(async {
                let t = topology::Topology::parse(topology::Topology::shipped()[0].1).unwrap();
                let kafka = provision::provide(&spec::KafkaSource::Version("3.9.1".into())).unwrap();
                let dir = std::path::PathBuf::from(&a[1]);
                let mode = if a[2] == "loopback" { sandbox::Mode::Loopback } else { sandbox::Mode::UserNamespaces };
                let clock = results::clock::RunClock::start();
                let rec = Arc::new(recorder::Recorder::create(&dir, clock).unwrap());
                let data = if mode.has_namespaces() { "/run/data".into() } else { dir.join("data") };
                let c = local::LocalCluster::start(local::Setup { topology: &t, kafka: &kafka, mode, lab: 1, data, logs: dir.join("logs"), recorder: rec }).await;
                match c { Ok(c) => { eprintln!("up after {:.2}", clock.now().as_secs_f64());
                    if a.len() > 3 { tokio::time::sleep(std::time::Duration::from_secs(a[3].to_str().unwrap().parse().unwrap())).await; }
                    c.stop(true).await.unwrap(); eprintln!("stopped {:.2}", clock.now().as_secs_f64()); } Err(e) => e.print() }
            }));
        }
        _ => {
            for m in sandbox::Mode::ALL { eprintln!("{m}: {:?}", sandbox::probe(m)); }
            let kafka = provision::provide(&spec::KafkaSource::Version("3.9.1".into()));
            eprintln!("{kafka:?}");
            let dir = a[0].clone();
            let mode = if a[1] == "loopback" { sandbox::Mode::Loopback } else if a[1] == "root" { sandbox::Mode::RootNamespaces } else { sandbox::Mode::UserNamespaces };
            let mut args: Vec<std::ffi::OsString> = vec!["lab".into()]; args.extend(a.clone());
            let mut c = sandbox::spawn(mode, &args, std::path::Path::new(&dir).join("data").as_path(), std::fs::File::create(std::path::Path::new(&dir).join("err")).unwrap()).unwrap();
            let mut o = c.take_stdout().unwrap(); std::io::copy(&mut o, &mut std::io::stdout()).unwrap();
            eprintln!("{:?}", c.wait());
        }
    }
    std::process::ExitCode::SUCCESS
}
