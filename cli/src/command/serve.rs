//! `xlreg serve`: runs a registry.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use xlreg::identity::{EndPoint, Name};
use xlreg::registry::{Registry, RegistryLimits};

use crate::daemon::{self, Daemon, Limits, Metrics, observe};
use crate::failure::{Failure, print};
use crate::home::{self, CREDENTIAL_FILE, Home, Tenant};
use crate::store::{Local, Store};

/// Files open beside connections: the store, listeners, the runtime's own.
const OTHER_FILES: usize = 64;
/// Connections that the system queues for each listener.
const BACKLOG: i32 = 1024;

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the registry keeps its keys, its nodes and clusters, and writes regCred.dat
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to listen, as often as you like; port 0 picks a free one, [::] is IPv6 only
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:56789")]
    pub listen: Vec<EndPoint>,
    /// The address that regCred.dat tells clients [default: where it listens, 127.0.0.1 if that is everywhere]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<EndPoint>,
    /// What the registry calls itself [default: the name it had before, xlReg the first time]
    #[arg(long)]
    pub name: Option<Name>,
    /// Serve only what 'xlreg init' or an earlier 'serve' has made: a lost volume is not a new registry
    #[arg(long)]
    pub existing: bool,
    /// Where to write what clients need, if not to DIR/regCred.dat; for a DIR that can only be read
    #[arg(long, value_name = "FILE")]
    pub credential: Option<PathBuf>,
    /// Keep nodes and clusters in memory only: they are gone when the registry stops
    #[arg(long)]
    pub memory: bool,
    /// Serve /metrics (Prometheus) and /healthz here
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<EndPoint>,
    /// Connections open at a time; more are closed at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections, value_parser = seats)]
    pub max_connections: usize,
    /// Connections open at a time for one address
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections_per_address, value_parser = seats)]
    pub max_connections_per_address: usize,
    /// Handshakes a second for one address, in the long run
    #[arg(long, value_name = "PER_SECOND_PER_ADDRESS", default_value_t = Limits::default().hello_rate, value_parser = rate)]
    pub hello_rate: f64,
    /// Nodes known at most; each takes some memory for good
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().nodes)]
    pub max_nodes: usize,
    /// Clusters at most
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().clusters)]
    pub max_clusters: usize,
    /// Members of all clusters together, at most
    #[arg(long, value_name = "N", default_value_t = RegistryLimits::default().memberships)]
    pub max_memberships: usize,
    /// Take over the identity of a deployed registry from its .xlattice/reg.config, the first time
    #[arg(long, value_name = "FILE")]
    pub import_config: Option<PathBuf>,
    /// How to write the log to stderr; RUST_LOG=debug tells more
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

fn seats(text: &str) -> Result<usize, String> {
    let seats = text.parse().ok().filter(|seats| (1..=1_000_000).contains(seats));
    seats.ok_or_else(|| "a number from 1 to 1000000 is expected".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number above 0 is expected".into())
}

/// How the log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs, one object a line.
    Json,
}

pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    start_log(args.log_format);
    let home = Home::open(&Tenant {
        dir: &args.dir,
        name: args.name.as_ref(),
        first_name: args.name.as_ref(),
        config: args.import_config.as_deref(),
        credential: args.credential.as_deref(),
        existing: args.existing,
        memory: args.memory,
    })?;
    let runtime = daemon::runtime().map_err(Failure::new)?;
    runtime.block_on(serve(args, home))
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init()
        }
        LogFormat::Json => log.json().init(),
    }
}

async fn serve(args: &ServeArgs, mut home: Home) -> Result<(), Failure> {
    // The signals are watched before anything can be waited for.
    let stopped = stop_signals()?;
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for end_point in &args.listen {
        let listener = listen(end_point).await?;
        addresses.push(listener.local_addr().map_err(Failure::new)?);
        listeners.push(listener);
    }
    let observer = match &args.metrics {
        Some(end_point) => Some(listen(end_point).await?),
        None => None,
    };
    let end_points = match &args.advertise {
        Some(end_point) => vec![end_point.clone()],
        None => addresses.iter().map(|address| reachable(*address)).collect::<Result<_, _>>()?,
    };
    if args.advertise.is_none() && addresses.iter().any(|address| address.ip().is_unspecified()) {
        warn!(
            "{CREDENTIAL_FILE} is good on this machine only: --advertise the address that others reach it at"
        );
    }
    let credential = home::credential(&home.identity, end_points)?;

    let metrics = Arc::new(Metrics::new());
    let registry = Registry::new(credential.clone(), registry_limits(args));
    let store = Arc::new(match args.memory {
        true => Local::ephemeral(registry),
        false => home.open_store(registry, &metrics)?,
    });
    // Clients are told of the registry only when it is known to be the one whose state this is.
    home.publish(&credential)?;
    let size = store.size();
    info!(nodes = size.nodes, clusters = size.clusters, "ready");
    if let Some(listener) = observer {
        let address = listener.local_addr().map_err(Failure::new)?;
        info!("metrics on http://{address}/metrics");
        tokio::spawn(observe(listener, Arc::clone(&metrics), Arc::clone(&store)));
    }
    for address in addresses {
        print(&format!("listening on {address}\n"))?;
    }
    // Where there is no service manager there is nobody to notify.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);

    let limits = Limits {
        connections: connections_within_files(args.max_connections),
        connections_per_address: args.max_connections_per_address,
        hello_rate: args.hello_rate,
        ..Limits::default()
    };
    let (stop, stopping) = watch::channel(false);
    let daemon = Daemon::new(Arc::clone(&store), &home.identity.comms, limits, metrics)?;
    let mut running = tokio::spawn(async move { daemon.run(listeners, stopping).await });
    let failure = tokio::select! {
        () = stopped => None,
        failure = store.failed() => Some(home::store_failure(failure)),
        ended = &mut running => {
            return Err(Failure::new(format!("the daemon ended by itself: {ended:?}")));
        }
    };
    match &failure {
        None => info!("stopping: finishing what is in flight"),
        Some(_) => error!("stopping: nothing can be made durable any more"),
    }
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
    stop.send_replace(true);
    running.await.map_err(Failure::new)?;
    tokio::task::spawn_blocking(move || store.close()).await.map_err(Failure::new)?;
    failure.map_or(Ok(()), Err)
}

fn registry_limits(args: &ServeArgs) -> RegistryLimits {
    RegistryLimits {
        nodes: args.max_nodes,
        clusters: args.max_clusters,
        memberships: args.max_memberships,
    }
}

/// As many connections as there can be files, after asking the system for more if that is needed.
fn connections_within_files(wanted: usize) -> usize {
    let needed = u64::try_from(wanted.saturating_add(OTHER_FILES)).unwrap_or(u64::MAX);
    let files = match rlimit::Resource::NOFILE.get_soft() {
        Ok(files) if files >= needed => files,
        Ok(files) => rlimit::increase_nofile_limit(needed).unwrap_or(files),
        // Where there is no such limit there is nothing to keep to.
        Err(_) => return wanted,
    };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let connections = wanted.min(files.saturating_sub(OTHER_FILES).max(1));
    if connections < wanted {
        warn!(
            "{connections} connections at a time instead of {wanted}: the system allows {files} open files"
        );
    }
    connections
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signals() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn listen(end_point: &EndPoint) -> Result<TcpListener, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot listen on {end_point}: {error}"))
            .advise("choose another address or port, or stop what listens there")
    };
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no such host");
    for address in tokio::net::lookup_host(end_point.as_str()).await.map_err(failed)? {
        match bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // So that [::] and 0.0.0.0 can both be listened on, with the same port.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Where clients on this machine reach a listener: one that listens everywhere, on the loopback address.
fn reachable(address: SocketAddr) -> Result<EndPoint, Failure> {
    let text = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        other => other.to_string(),
    };
    text.parse().map_err(Failure::new)
}
