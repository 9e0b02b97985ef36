//! `xlreg serve`: runs a registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{error, info, warn};
use xlreg::credential::Credential;
use xlreg::identity::directory::{DirectoryError, DirectoryLock, write_atomically};
use xlreg::identity::{EndPoint, Identity, Name, NodeId, Version};
use xlreg::registry::{Registry, RegistryLimits};

use crate::daemon::advertise::{self, Advertise};
use crate::daemon::log::{self, LogFormat, NOTICE};
use crate::daemon::manager::{Manager, Told};
use crate::daemon::signals::{self, Signals};
use crate::daemon::{self, Daemon, Limits, Metrics, listen, observe};
use crate::failure::Failure;
use crate::store::{Local, Redb, Store, StoreError};
use crate::{import, random};

/// The file that clients are given.
const CREDENTIAL_FILE: &str = "regCred.dat";
/// The file that nodes and clusters are kept in.
const STORE_FILE: &str = "registry.redb";
/// The name of a registry that was given none.
const DEFAULT_NAME: &str = "xlReg";

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the registry keeps its keys, its nodes and clusters, and writes regCred.dat
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to listen, as often as you like; port 0 picks a free one, [::] is IPv6 only
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:56789")]
    pub listen: Vec<EndPoint>,
    /// An address that regCred.dat tells clients, up to eight times [default: where it listens, 127.0.0.1 if that is everywhere]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Vec<EndPoint>,
    /// What the registry calls itself [default: the name it had before, xlReg the first time]
    #[arg(long)]
    pub name: Option<Name>,
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
    /// What to log, as RUST_LOG has it; the file is read at the start and at SIGHUP, and comes before RUST_LOG
    #[arg(long, value_name = "FILE")]
    pub log_filter_file: Option<PathBuf>,
}

fn seats(text: &str) -> Result<usize, String> {
    let seats = text.parse().ok().filter(|seats| (1..=1_000_000).contains(seats));
    seats.ok_or_else(|| "a number from 1 to 1000000 is expected".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number above 0 is expected".into())
}

pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    advertise::check(&args.advertise)?;
    let filter = log::start(args.log_format, args.log_filter_file.as_deref())?;
    let manager = Manager::find()?;
    // The signals are listened to before anything can be waited for.
    let signals = signals::start({
        let manager = manager.clone();
        move || manager.reload(|| filter.reload())
    })?;
    let lock = DirectoryLock::try_now(&args.dir).map_err(|error| match error {
        DirectoryError::Busy { .. } => {
            Failure::new(format!("another registry runs on {}", args.dir.display()))
                .advise("stop it first, or give this one another --dir")
        }
        other => Failure::new(other),
    })?;
    if let Some(path) = &args.import_config {
        import(path, &args.dir)?;
    }
    let identity = identity(&args.dir, &lock, args.name.as_ref())?;
    let runtime = daemon::runtime().map_err(Failure::new)?;
    runtime.block_on(serve(args, identity, signals, manager))
}

async fn serve(
    args: &ServeArgs,
    identity: Identity,
    mut signals: Signals,
    manager: Manager,
) -> Result<(), Failure> {
    let listeners = listen::all(&args.listen).await?;
    let observer = match &args.metrics {
        Some(end_point) => Some(listen::listen(end_point).await?),
        None => None,
    };
    let advertise = Advertise {
        listen: &args.listen,
        advertise: &args.advertise,
        listening: listen::addresses(&listeners)?,
    };
    let end_points = advertise.end_points()?;
    let credential = credential(&identity, end_points.clone())?;

    let metrics = Arc::new(Metrics::new());
    let store = Arc::new(open_store(args, credential.clone(), &metrics)?);
    // Clients are told of the registry only when it is known to be the one whose state this is.
    let path = args.dir.join(CREDENTIAL_FILE);
    let before = advertise::told_in(&path);
    write_atomically(&path, credential.to_string().as_bytes(), 0o644).map_err(Failure::new)?;
    let size = store.size();
    info!(nodes = size.nodes, clusters = size.clusters, "ready");
    if let Some(listener) = observer {
        let address = listener.local_addr().map_err(Failure::new)?;
        info!("metrics on http://{address}/metrics");
        tokio::spawn(observe(listener, Arc::clone(&metrics), Arc::clone(&store)));
    }
    tokio::spawn(log::tell_losses());
    for notice in advertise.notices(CREDENTIAL_FILE, &before, &end_points) {
        warn!(target: NOTICE, "{notice}");
    }
    signals.serving();
    listen::announce(&advertise.listening);
    manager.tell(Told::Ready);
    tokio::spawn(manager.clone().feed_watchdog());

    let (stop, stopping) = watch::channel(false);
    let daemon = Daemon::new(Arc::clone(&store), &identity.comms, limits(args), metrics)?;
    let mut running = tokio::spawn(async move { daemon.run(listeners, stopping).await });
    let failure = tokio::select! {
        () = signals.stopped() => None,
        failure = store.failed() => Some(store_failure(failure)),
        ended = &mut running => {
            return Err(Failure::new(format!("the daemon ended by itself: {ended:?}")));
        }
    };
    match &failure {
        None => info!("stopping: finishing what is in flight"),
        Some(_) => error!("stopping: nothing can be made durable any more"),
    }
    manager.tell(Told::Stopping);
    stop.send_replace(true);
    running.await.map_err(Failure::new)?;
    tokio::task::spawn_blocking(move || store.close()).await.map_err(Failure::new)?;
    failure.map_or(Ok(()), Err)
}

/// What clients may take up together.
fn limits(args: &ServeArgs) -> Limits {
    Limits {
        connections: listen::connections_within_files(args.max_connections),
        connections_per_address: args.max_connections_per_address,
        hello_rate: args.hello_rate,
        ..Limits::default()
    }
}

fn open_store(
    args: &ServeArgs,
    credential: Credential,
    metrics: &Arc<Metrics>,
) -> Result<Local, Failure> {
    let limits = RegistryLimits {
        nodes: args.max_nodes,
        clusters: args.max_clusters,
        memberships: args.max_memberships,
    };
    let mut registry = Registry::new(credential, limits);
    if args.memory {
        return Ok(Local::ephemeral(registry));
    }
    let log = Redb::open(&args.dir.join(STORE_FILE), &mut registry).map_err(store_failure)?;
    let metrics = Arc::clone(metrics);
    let on_commit = Arc::new(move |changes, seconds| metrics.commit(changes, seconds));
    Local::durable(registry, log, on_commit).map_err(Failure::new)
}

fn store_failure(error: StoreError) -> Failure {
    let advice = match &error {
        StoreError::Busy(_) => "stop the registry that runs on this --dir first",
        StoreError::Damaged { .. } | StoreError::Inconsistent { .. } => {
            "restore the file, and the .commits beside it, from a backup"
        }
        StoreError::Foreign { .. } => "use the --dir that the file was made in",
        StoreError::Io { .. } => {
            "check the disk, its free space and the permissions of the directory"
        }
    };
    Failure::new(error).advise(advice)
}

/// Puts a deployed registry's identity into the directory. Doing it again changes nothing; another identity
/// that is there already is not overwritten.
fn import(path: &Path, dir: &Path) -> Result<(), Failure> {
    let imported = import::identity(path)?;
    match Identity::load(dir) {
        Err(DirectoryError::Absent { .. }) => imported.save(dir).map_err(Failure::new),
        Ok(known) if known.id == imported.id => Ok(()),
        Ok(_) => Err(Failure::new(format!("{} holds another registry's identity", dir.display()))
            .advise("import into an empty --dir")),
        Err(error) => Err(Failure::new(error)),
    }
}

/// The registry's identity, made the first time, under the name asked for.
fn identity(dir: &Path, lock: &DirectoryLock, name: Option<&Name>) -> Result<Identity, Failure> {
    let rng = &mut random::system();
    let first_name = match name {
        Some(name) => name.clone(),
        None => DEFAULT_NAME.parse().map_err(Failure::new)?,
    };
    let mut identity = lock.load_or_generate(first_name, rng).map_err(Failure::new)?;
    if let Some(name) = name {
        identity.name = name.clone();
    }
    identity.id.get_or_insert_with(|| NodeId::random(rng));
    identity.save(dir).map_err(Failure::new)?;
    Ok(identity)
}

/// The registry's credential, telling clients to come to these end points.
pub fn credential(identity: &Identity, end_points: Vec<EndPoint>) -> Result<Credential, Failure> {
    let id = identity.id.ok_or_else(|| Failure::new("the registry has no ID"))?;
    Ok(Credential {
        name: identity.name.clone(),
        id,
        comms_key: identity.comms.public_key().clone(),
        sig_key: identity.sig.public_key().clone(),
        end_points,
        version: Version::REFERENCE,
    })
}
