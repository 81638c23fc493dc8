//! A Redis Cluster of three masters with a replica each: one for the whole test program, since it takes seconds to form.
//! Tests share it by prefixes of their own.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;
use upistream::store::redis::RedisServers;

use super::redis::{ask, free_port, servers, wait_for};

const NODES: usize = 6;

pub struct TestCluster {
    ports: Vec<u16>,
    /// A shell over each server, which kills it when this program is gone, however that ends: a static is never dropped.
    _watchers: Vec<Child>,
    _folder: TempDir,
}

impl TestCluster {
    /// The one of this program.
    pub async fn shared() -> &'static Self {
        tokio::task::spawn_blocking(|| {
            static SHARED: OnceLock<TestCluster> = OnceLock::new();
            SHARED.get_or_init(Self::form)
        })
        .await
        .expect("the cluster forms")
    }

    /// One of a test's own: for what others must not notice.
    pub async fn own() -> Self {
        tokio::task::spawn_blocking(Self::form).await.expect("the cluster forms")
    }

    fn form() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
        let watchers = ports.iter().map(|port| run(*port, &folder)).collect();
        let cluster = Self { ports, _watchers: watchers, _folder: folder };
        for port in &cluster.ports {
            wait_for(|| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok(), || format!("port {port}"));
        }
        let nodes: Vec<String> = cluster.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(&nodes).args(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = create.output().expect("redis-cli can be run (it comes with redis-server)");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        // Each server has to know of all before any of them answers for its slots.
        for port in &cluster.ports {
            wait_for(
                || {
                    let info: String = ask(&format!("redis://127.0.0.1:{port}"), "CLUSTER INFO");
                    let replication: String = ask(&format!("redis://127.0.0.1:{port}"), "INFO replication");
                    let is_linked = replication.contains("role:master") || replication.contains("master_link_status:up");
                    info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6") && is_linked
                },
                || format!("port {port}"),
            );
        }
        cluster
    }

    /// Some of its nodes: the client finds the others.
    pub fn servers(&self) -> RedisServers {
        let urls = self.ports.iter().take(2).map(|port| format!("redis://127.0.0.1:{port}"));
        RedisServers { cluster: true, ..servers(urls) }
    }

    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect()
    }
}

fn run(port: u16, folder: &TempDir) -> Child {
    let own = folder.path().join(port.to_string());
    std::fs::create_dir(&own).expect("the folder is ours");
    // Whoever holds the other end of its input is this program.
    let script = r#"redis-server "$@" >/dev/null 2>&1 & server=$!; cat >/dev/null; kill -9 "$server""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "redis-server", "--port", &port.to_string(), "--dir"]).arg(own);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "no"]);
    command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell can be run")
}
