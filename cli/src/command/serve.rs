//! `xlreg serve`: runs a registry.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::{error, info, warn};
use xlreg::identity::{EndPoint, Name};
use xlreg::registry::Registry;
use xlreg_server::store::{MemoryStore, Store};
use xlreg_server::{Metrics, MetricsHttp, Options, Server, ServerError};

use crate::daemon::advertise::{self, Advertise};
use crate::daemon::home::{self, CREDENTIAL_FILE, Home, Tenant};
use crate::daemon::limits::LimitArgs;
use crate::daemon::log::{self, LogFormat, NOTICE};
use crate::daemon::manager::{Manager, Told};
use crate::daemon::signals::{self, Signals};
use crate::daemon::{listen, log_queue};
use crate::output::Failure;

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The directory for the registry's keys, nodes and clusters, and for regCred.dat
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to listen; may be given several times; port 0 picks a free one, [::] is IPv6 only
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:56789")]
    pub listen: Vec<EndPoint>,
    /// An address for clients in regCred.dat, up to eight times [default: where it listens, or
    /// 127.0.0.1 if that is everywhere]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Vec<EndPoint>,
    /// The name of the registry [default: its old name; xlReg the first time]
    #[arg(long)]
    pub name: Option<Name>,
    /// Serve only a registry that 'xlreg init' or an earlier 'serve' has made: a lost volume is not
    /// a new registry
    #[arg(long)]
    pub existing: bool,
    /// The file for clients, instead of DIR/regCred.dat; for a DIR that is read-only
    #[arg(long, value_name = "FILE")]
    pub credential: Option<PathBuf>,
    /// Keep nodes and clusters in memory only: they are gone when the registry stops
    #[arg(long)]
    pub memory: bool,
    /// Serve /metrics (Prometheus), /livez, /readyz and /healthz here
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<EndPoint>,
    /// Take over the identity of a deployed registry from its .xlattice/reg.config, the first time
    #[arg(long, value_name = "FILE")]
    pub import_config: Option<PathBuf>,
    /// The format of the log on stderr; RUST_LOG=debug logs more
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// A file with the filter of the log, in the form of RUST_LOG, which it replaces; read at the
    /// start and at SIGHUP
    #[arg(long, value_name = "FILE")]
    pub log_filter_file: Option<PathBuf>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    advertise::check(&args.advertise)?;
    let filter = log::start(args.log_format, args.log_filter_file.as_deref())?;
    let manager = Manager::find()?;
    // Signals are handled before anything can block.
    let signals = signals::start({
        let manager = manager.clone();
        move || manager.reload(|| filter.reload())
    })?;
    let home = Home::open(&Tenant {
        dir: &args.dir,
        name: args.name.as_ref(),
        first_name: args.name.as_ref(),
        config: args.import_config.as_deref(),
        credential: args.credential.as_deref(),
        existing: args.existing,
        memory: args.memory,
    })?;
    let runtime = xlreg_server::runtime().map_err(Failure::new)?;
    runtime.block_on(serve(args, home, signals, manager))
}

async fn serve(
    args: &ServeArgs,
    mut home: Home,
    mut signals: Signals,
    manager: Manager,
) -> Result<(), Failure> {
    let listeners = listen::all(&args.listen).await?;
    let metrics = Arc::new(Metrics::new().with_lost_log_lines(log_queue::lost));
    let http = MetricsHttp::new(Arc::clone(&metrics));
    if let Some(end_point) = &args.metrics {
        let listener = listen::listen(end_point).await?;
        let address = listener.local_addr().map_err(Failure::new)?;
        info!("metrics on http://{address}/metrics");
        tokio::spawn(Arc::clone(&http).answer_all(listener));
    }
    let advertise = Advertise {
        listen: &args.listen,
        advertise: &args.advertise,
        listening: listen::addresses(&listeners)?,
    };
    let end_points = advertise.end_points()?;
    let credential = home::credential(&home.identity, end_points.clone())?;

    let registry = Registry::new(credential.clone(), args.limits.registry());
    let store = Arc::new(match args.memory {
        true => MemoryStore::new(registry),
        false => home.open_store(registry, &metrics)?,
    });
    // The file for clients is written only after the store has shown that it belongs to this
    // registry.
    let before = advertise::told_in(home.credential_file());
    home.publish(&credential)?;
    let size = store.size();
    info!(nodes = size.nodes, clusters = size.clusters, "ready");
    tokio::spawn(log::tell_losses());
    let notices = advertise.notices(CREDENTIAL_FILE, &before, &end_points);
    for notice in &notices {
        warn!(target: NOTICE, "{notice}");
    }
    signals.serving();
    http.ready(&store);
    listen::announce(&advertise.listening, &notices);
    manager.tell(Told::Ready);
    tokio::spawn(manager.clone().feed_watchdog());

    let options =
        Options { limits: args.limits.connections(), rates: args.limits.rates(), metrics };
    let started = Server::start(store, &home.identity.comms, options, listeners);
    let mut server = started.map_err(Failure::new)?;
    let failure = tokio::select! {
        () = signals.stopped() => None,
        failure = server.failed() => Some(match failure {
            ServerError::Store(failure) => home::store_failure(failure),
            other => return Err(Failure::new(other)),
        }),
    };
    match &failure {
        None => info!("stopping: finishing the requests in flight"),
        Some(_) => error!("stopping: nothing can be made durable any more"),
    }
    http.stopping();
    manager.tell(Told::Stopping);
    server.stop().await.map_err(Failure::new)?;
    failure.map_or(Ok(()), Err)
}
