//! How a registry proves who it is to a command, and the command to it.

use std::path::PathBuf;

use clap::Args;
use resolver_sync::consul::TlsConfig;
use resolver_sync::etcd::EtcdTls;

use crate::{Failure, output};

/// The settings of an agent's source, by the same names. They hold for addresses that begin with https://.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {
    /// The authorities that may have signed the registry's certificates, as PEM [default: the system's].
    #[arg(long, help_heading = "TLS", value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// Our own certificate with its chain, as PEM, where the registry wants one; with --key-file.
    #[arg(long, help_heading = "TLS", value_name = "FILE", global = true)]
    cert_file: Option<PathBuf>,
    /// The certificate's key, as PEM, in a file of mode 600.
    #[arg(long, help_heading = "TLS", value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// The name that the registry's certificate has, where it is not the address's; such as server.dc1.consul.
    #[arg(long, help_heading = "TLS", value_name = "NAME", global = true)]
    server_name: Option<String>,
}

impl TlsArgs {
    /// For Consul's agents; `source` is what an error calls them.
    pub(crate) fn consul(&self, source: &str) -> Result<Option<TlsConfig>, Failure> {
        let TlsArgs { ca_file, cert_file, key_file, server_name } = self.clone();
        let tls = TlsConfig::of(source, ca_file, cert_file, key_file, server_name);
        tls.map_err(|error| output::fail(Failure::Usage, error))
    }

    /// For etcd's members.
    pub(crate) fn etcd(&self) -> EtcdTls {
        let TlsArgs { ca_file, cert_file, key_file, server_name } = self.clone();
        EtcdTls { ca_file, cert_file, key_file, server_name }
    }
}
