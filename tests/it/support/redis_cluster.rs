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
        // Each server has to know of all, and half of them follow the others, before it is what it is meant to be.
        let all_say = |command: &str, word: &str| cluster.urls().iter().filter(|url| ask::<String>(url, command).contains(word)).count();
        let is_formed = || {
            let known = all_say("CLUSTER INFO", "cluster_state:ok") == NODES && all_say("CLUSTER INFO", "cluster_known_nodes:6") == NODES;
            let linked = all_say("INFO replication", "master_link_status:up") == NODES / 2;
            let replicas = |nodes: String| nodes.lines().filter(|line| line.contains("slave")).count();
            known && linked && cluster.urls().iter().all(|url| replicas(ask(url, "CLUSTER NODES")) == NODES / 2)
        };
        wait_for(is_formed, || "of the cluster".to_owned());
        cluster
    }

    /// Some of its nodes: the client finds the others.
    pub fn servers(&self) -> RedisServers {
        let urls = self.ports.iter().take(2).map(|port| format!("redis://127.0.0.1:{port}"));
        RedisServers { cluster: true, ..servers(urls) }
    }

    /// The process that is the master of a key now.
    pub fn master_of(&self, key: &str) -> u32 {
        process(&self.server_of(key, |line| line.contains("master")))
    }

    /// Where the replica of a key's master is.
    pub fn replica_of(&self, key: &str) -> String {
        let nodes = self.nodes();
        let master = self.line_of(&nodes, key).split(' ').next().expect("a node has an id").to_owned();
        let replica = nodes.lines().find(|line| line.contains("slave") && line.contains(&master)).expect("each master has a replica");
        url(replica)
    }

    fn server_of(&self, key: &str, wanted: impl Fn(&str) -> bool) -> String {
        let nodes = self.nodes();
        let line = self.line_of(&nodes, key);
        assert!(wanted(line), "{line}");
        url(line)
    }

    /// The line of the node that serves a key's slot.
    fn line_of<'a>(&self, nodes: &'a str, key: &str) -> &'a str {
        let slot: u32 = self.ask_any(&format!("CLUSTER KEYSLOT {key}"));
        let serves = |line: &&str| {
            line.split(' ').skip(8).any(|range| {
                let mut ends = range.split('-').map(|end| end.parse::<u32>().unwrap_or(u32::MAX));
                let first = ends.next().unwrap_or(u32::MAX);
                (first..=ends.next().unwrap_or(first)).contains(&slot)
            })
        };
        nodes.lines().find(serves).expect("every slot is served")
    }

    fn nodes(&self) -> String {
        self.ask_any("CLUSTER NODES")
    }

    /// What the first server that answers says.
    fn ask_any<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let live = self.ports.iter().find(|port| std::net::TcpStream::connect(("127.0.0.1", **port)).is_ok());
        ask(&format!("redis://127.0.0.1:{}", live.expect("some server lives")), command)
    }

    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect()
    }
}

/// Where a node is, by its line of CLUSTER NODES: `<id> <host>:<port>@<bus port> …`.
fn url(line: &str) -> String {
    let address = line.split(' ').nth(1).expect("a node has an address");
    format!("redis://{}", address.split('@').next().expect("a port stands before its bus port"))
}

/// The process of a server.
fn process(url: &str) -> u32 {
    let info: String = ask(url, "INFO server");
    let id = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("a server tells its process");
    id.trim().parse().expect("a number")
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
