//! `<service> healthcheck`: a container's health check that needs no shell and no curl.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Requests `/readyz` on this machine; the exit code is 0 when the service is ready.
pub(crate) fn run(management_port: u16) -> ExitCode {
    match readyz(management_port) {
        Ok(response) if response.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(response) => {
            let body = response.split_once("\r\n\r\n").map_or("no response", |(_, body)| body);
            eprintln!("not ready: {body}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("no response from port {management_port}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tries IPv4, then IPv6: an instance may listen on IPv6 only.
fn connect(port: u16) -> io::Result<TcpStream> {
    let connect = |address: SocketAddr| TcpStream::connect_timeout(&address, TIMEOUT);
    let response = connect((Ipv4Addr::LOCALHOST, port).into());
    response.or_else(|refused| connect((Ipv6Addr::LOCALHOST, port).into()).map_err(|_| refused))
}

fn readyz(port: u16) -> io::Result<String> {
    let mut stream = connect(port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}
