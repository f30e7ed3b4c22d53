//! A server of files for this machine only, and the browser that is opened on it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

/// Takes the port before anything is built.
pub fn bind(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("cannot serve on port {port}: choose another with --port"))
}

/// Serves a folder until the program is ended.
pub fn run(server: TcpListener, folder: &Path, open: bool) -> Result<()> {
    let address = format!("http://{}/", server.local_addr().context("the server has no address")?);
    eprintln!("the page is at {address} until Ctrl-C");
    if open {
        open_browser(&address);
    }
    thread::scope(|scope| {
        for connection in server.incoming().flatten() {
            // A browser may cut a connection at any time.
            scope.spawn(move || drop(answer(&connection, folder)));
        }
    });
    Ok(())
}

/// Answers one request. What is not there is not found, as on the hosts that the site is for.
fn answer(connection: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // A connection that is closed with unread words in it may lose the answer.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, kind, body) = match method {
        "GET" | "HEAD" => match find(target, folder) {
            Some((kind, body)) => ("200 OK", kind, body),
            None => ("404 Not Found", "text/plain", b"not found".to_vec()),
        },
        _ => ("405 Method Not Allowed", "text/plain", b"only GET and HEAD".to_vec()),
    };
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-cache\r\n\
         Connection: close\r\n\r\n",
        body.len()
    )?;
    if method == "GET" { connection.write_all(&body) } else { Ok(()) }
}

/// The type and the bytes of the file that a request names.
fn find(target: &str, folder: &Path) -> Option<(&'static str, Vec<u8>)> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let kind = match path.extension()?.to_str()? {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript",
        "wasm" => "application/wasm",
        "css" => "text/css",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" => "image/jpeg",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    };
    Some((kind, fs::read(folder.join(path)).ok()?))
}

/// Opens the page in the default browser, if there is one.
fn open_browser(address: &str) {
    let (program, arguments): (_, &[&str]) = match std::env::consts::OS {
        "windows" => ("cmd", &["/c", "start"]),
        "macos" => ("open", &[]),
        _ => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.spawn().is_err() {
        eprintln!("no browser could be opened here: open the address in one");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn files_are_served_with_their_types_and_nothing_else_is() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ask = |request: &str| {
            let server = bind(0).expect("a port");
            let mut client = TcpStream::connect(server.local_addr().expect("an address")).expect("a connection");
            client.write_all(request.as_bytes()).expect("a request");
            answer(&server.accept().expect("a connection").0, folder).expect("an answer");
            let mut said = String::new();
            client.read_to_string(&mut said).expect("text");
            said
        };
        let main = ask("GET /src/serve.rs?seed=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            main.starts_with("HTTP/1.1 200") && main.contains("octet-stream") && main.contains("fn find"),
            "{main}"
        );
        let head = ask("HEAD /src/serve.rs HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        for target in
            ["/", "/src", "/nothing.html", "/../Cargo.toml", "//etc/hosts.html", "/src/../Cargo.toml", "src/serve.rs"]
        {
            let said = ask(&format!("GET {target} HTTP/1.1\r\n\r\n"));
            assert!(said.starts_with("HTTP/1.1 404"), "{target}: {said}");
        }
        assert!(ask("POST /src/serve.rs HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    }
}
