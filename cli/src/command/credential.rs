//! `xlreg credential`: shows a registry's credential, from a file or from the registry itself.

use std::path::PathBuf;

use serde_json::{Value, json};
use xlreg::credential::Credential;
use xlreg::identity::{Identity, PublicKey};
use xlreg::session::Dialect;

use crate::client::advice::{Command, Peer, explain};
use crate::client::{
    self, PatienceArgs, RegistryArgs, RegistryClient, ask_kind, persist, read_credential,
};
use crate::output::json::{add_end_points, identity_json};
use crate::output::tables::{fields, ssh_line, texts};
use crate::output::{Failure, note, print, print_json};

/// The help of the command itself, which needs a subcommand.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed, or what is compared differs
  2  usage

Examples:
  xlreg credential show regCred.dat
  xlreg credential fetch --registry regCred.dat";

const SHOW_HELP: &str = "\
Fingerprints are as 'ssh-keygen -lf' prints them. Keys under 2048 bits are warned of on stderr.

Exit codes:
  0  the credential is printed
  1  the file cannot be read, or is no regCred
  2  usage

Examples:
  xlreg credential show regCred.dat
  xlreg credential show regCred.dat --json | jq -r .id";

const FETCH_HELP: &str = "\
The registry proves that it has the CommsPubKey in REGCRED. It gives the other values without a
proof.
This request ends a deployed server, and all its clusters with it. So a harmless question is asked
first, and a deployed server is not asked for its credential.
Without --timeout the registry is tried for 10 seconds.

Exit codes:
  0  the registry's credential is printed, and it is equal to REGCRED
  1  REGCRED differs (the registry's credential is printed, and the message names the differences),
     or it failed
  2  usage
  3  timed out
  4  refused by the registry
  5  the registry could not be reached

Examples:
  xlreg credential fetch --registry regCred.dat
  xlreg credential fetch --registry regCred.dat > regCred.new";

#[derive(Debug, clap::Subcommand)]
pub enum CredentialCommand {
    /// Print a regCred with the fingerprints of its keys
    Show(ShowArgs),
    /// Ask a registry for its credential, and compare it with a file
    Fetch(FetchArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = SHOW_HELP)]
pub struct ShowArgs {
    /// The regCred.dat
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = FETCH_HELP)]
pub struct FetchArgs {
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl CredentialCommand {
    /// Whether `--json` was given.
    pub const fn json(&self) -> bool {
        match self {
            Self::Show(args) => args.json,
            Self::Fetch(args) => args.json,
        }
    }
}

pub fn run(command: &CredentialCommand) -> Result<(), Failure> {
    match command {
        CredentialCommand::Show(args) => show(args),
        CredentialCommand::Fetch(args) => fetch(args),
    }
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let credential = read_credential(&args.file)?;
    for (field, key) in keys(&credential) {
        if key.bits() < Identity::KEY_BITS {
            note(format_args!(
                "xlreg: warning: {field} has {} bits only; keys under {} bits can be \
                 broken with much effort",
                key.bits(),
                Identity::KEY_BITS
            ));
        }
    }
    if args.json {
        return print_json(&describe(&credential));
    }
    print(&fields(&[
        ("name", credential.name.to_string()),
        ("ID", credential.id.to_string()),
        ("end points", texts(&credential.end_points).join(" ")),
        ("version", format!("{} ({} dialect)", credential.version, dialect(&credential))),
        ("comms key", ssh_line(&credential.comms_key)),
        ("sig key", ssh_line(&credential.sig_key)),
    ]))
}

fn keys(credential: &Credential) -> [(&'static str, &PublicKey); 2] {
    [("CommsPubKey", &credential.comms_key), ("SigPubKey", &credential.sig_key)]
}

/// The dialect for the registry's version.
fn dialect(credential: &Credential) -> Dialect {
    Dialect::of_registry(credential.version)
}

fn describe(credential: &Credential) -> Value {
    let keys = [&credential.comms_key, &credential.sig_key];
    let mut value = identity_json(&credential.name, Some(credential.id), keys);
    add_end_points(&mut value, &credential.end_points);
    value["version"] = credential.version.to_string().into();
    value["dialect"] = dialect(credential).to_string().into();
    value
}

fn fetch(args: &FetchArgs) -> Result<(), Failure> {
    let known = args.registry.credential()?;
    let told = ask(args, &known)?;
    let differences = differences(&known, &told);
    if args.json {
        let differences = differences
            .iter()
            .map(|(field, known, told)| json!({ "field": field, "file": known, "registry": told }));
        print_json(&json!({
            "credential": describe(&told),
            "same": differences.len() == 0,
            "differences": differences.collect::<Vec<_>>(),
        }))?;
    } else {
        print(&told.to_string())?;
    }
    if differences.is_empty() {
        return Ok(());
    }
    let differences: Vec<_> = differences
        .iter()
        .map(|(field, known, told)| {
            format!("{field} is {known} in the file, and {told} in the registry's answer")
        })
        .collect();
    let file = args.registry.registry.display();
    let differences = differences.join("; ");
    Err(Failure::new(format!("{file} differs from the registry's answer: {differences}")).advise(
        "if the operator of the registry confirms the change, keep the printed credential as the \
         new regCred.dat",
    ))
}

fn ask(args: &FetchArgs, known: &Credential) -> Result<Credential, Failure> {
    client::run(&args.registry, &args.patience, async |patience| {
        let told = persist(patience, async |stop| {
            if !args.registry.may_end_server {
                ask_kind(&args.registry, known, stop).await?;
            }
            let mut registry = RegistryClient::open(&args.registry, known, stop).await?;
            let told = registry.credential().await?;
            registry.bye().await;
            Ok(told)
        });
        told.await.map_err(|e| explain(e, &args.registry, Command::Fetch, Peer::Unknown))
    })
}

/// The fields in which two credentials differ, with both values. Keys are compared by fingerprint.
fn differences(a: &Credential, b: &Credential) -> Vec<(&'static str, String, String)> {
    let lines = |credential: &Credential| {
        let [comms, sig] =
            keys(credential).map(|(field, key)| (field, key.fingerprint().to_string()));
        [
            ("Name", credential.name.to_string()),
            ("ID", credential.id.to_string()),
            comms,
            sig,
            ("EndPoints", texts(&credential.end_points).join(" ")),
            ("Version", credential.version.to_string()),
        ]
    };
    let pairs = lines(a).into_iter().zip(lines(b));
    pairs.filter(|(a, b)| a != b).map(|((field, a), (_, b))| (field, a, b)).collect()
}
