//! The port for scrapers and load balancers: what it answers, in which format, and to whom when
//! many come.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use tempfile::{TempDir, tempdir};
use xlreg_testkit::Seeded;
use xlreg_testkit::client::Way;
use xlreg_testkit::http::{ask, get, request};
use xlreg_testkit::wait::{HANG, until};

use crate::common::{Daemon, furnish};

/// A daemon, and where it shows itself.
fn start() -> (TempDir, Daemon, String) {
    let temp = tempdir().unwrap();
    furnish(temp.path());
    let daemon = Daemon::start(temp.path(), &["--metrics", "127.0.0.1:0"]);
    let told = || {
        let log = daemon.log();
        let (_, rest) = log.split_once("metrics on http://")?;
        Some(rest.split_once("/metrics")?.0.to_owned())
    };
    until("it tells where its metrics are", || told().is_some());
    let metrics = told().unwrap();
    (temp, daemon, metrics)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.set_write_timeout(Some(HANG)).unwrap();
    stream
}

/// One answer on a connection that stays: its head and its body.
fn read_answer(stream: &mut impl BufRead) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Whether somebody on this connection is served: `None` if they are hung up on.
fn served(stream: &mut BufReader<TcpStream>) -> Option<String> {
    stream.get_mut().write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(n) if n > 0 => Some(line),
        _ => None,
    }
}

#[test]
fn health_is_told_under_three_names() {
    let (_temp, _daemon, address) = start();
    for path in ["/livez", "/readyz", "/healthz", "/healthz?verbose"] {
        let health = get(&address, path);
        assert_eq!((health.status.as_str(), health.body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
        assert!(health.head.contains("Cache-Control: no-store"), "{}", health.head);
    }
}

#[test]
fn a_head_has_all_but_the_body() {
    let (_temp, _daemon, address) = start();
    for path in ["/metrics", "/readyz", "/nothing"] {
        let (whole, head) = (get(&address, path), request(&address, "HEAD", path, ""));
        assert_eq!((head.status, head.body), (whole.status, String::new()), "{path}");
        let kind = |head: &str| {
            head.lines().find(|line| line.starts_with("Content-Type")).unwrap().to_owned()
        };
        assert_eq!(kind(&head.head), kind(&whole.head));
        assert!(head.head.contains("Content-Length: "), "{}", head.head);
    }
}

#[test]
fn what_is_no_request_or_asks_for_nothing_here_is_refused() {
    let (_temp, daemon, address) = start();
    for path in
        ["/", "/metricsx", "/healthz/", "/../id", "//metrics", "/livez/../metrics", "metrics"]
    {
        assert_eq!(get(&address, path).status, "HTTP/1.1 404 Not Found", "{path}");
    }
    for method in ["POST", "get", "DELETE", "OPTIONS"] {
        let answer = request(&address, method, "/metrics", "");
        assert_eq!(answer.status, "HTTP/1.1 405 Method Not Allowed", "{method}");
        assert!(answer.head.contains("Allow: GET, HEAD"), "{}", answer.head);
    }
    for request in ["\0 / HTTP/1.1\r\n\r\n", "GET / HTTP/9\r\n\r\n", "\r\n\r\n\r\n :"] {
        let status = ask(&address, request.as_bytes()).status;
        assert!(status.starts_with("HTTP/1.1 400") || status.is_empty(), "{request:?}: {status}");
    }
    let huge = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &vec![b'x'; 1 << 20]].concat();
    let status = ask(&address, &huge).status;
    // It may be hung up on before it has read that it is.
    assert!(status.starts_with("HTTP/1.1 431") || status.is_empty(), "{status}");
    assert_eq!(get(&address, "/livez").status, "HTTP/1.1 200 OK");
    assert_eq!(daemon.terminate().0.code(), Some(0));
}

#[test]
fn a_connection_serves_many_requests_also_such_as_come_together() {
    let (_temp, _daemon, address) = start();
    let mut stream = BufReader::new(connect(&address));
    for _ in 0..3 {
        stream.get_mut().write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let (head, body) = read_answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 OK") && body.ends_with("# EOF\n"), "{head}");
    }
    let together = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    stream.get_mut().write_all(&together).unwrap();
    for _ in 0..50 {
        assert_eq!(read_answer(&mut stream).1, "ok\n");
    }
    // Whoever wants no more says so, or speaks HTTP 1.0.
    stream.get_mut().write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut last = String::new();
    stream.read_to_string(&mut last).unwrap();
    assert!(last.ends_with("ok\n"), "{last}");
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let (_temp, _daemon, address) = start();
    let ask = |accept: &str| request(&address, "GET", "/metrics", accept);
    for accept in ["", "Accept: */*\r\n", "Accept: application/openmetrics-text\r\n"] {
        let answer = ask(accept);
        assert!(answer.head.contains("Content-Type: application/openmetrics-text; version=1.0.0"));
        assert!(answer.body.contains("# TYPE xlreg_connections_accepted counter\n"));
        assert!(answer.body.ends_with("# EOF\n"));
    }
    let answer = ask("Accept: text/plain;version=0.0.4\r\nAccept: */*;q=0.1\r\n");
    assert!(answer.head.contains("Content-Type: text/plain; version=0.0.4"), "{}", answer.head);
    assert!(answer.body.contains("# TYPE xlreg_connections_accepted_total counter\n"));
    assert!(answer.body.contains("\nxlreg_connections_accepted_total 0\n"), "{}", answer.body);
    assert!(!answer.body.contains("# EOF"), "{}", answer.body);
}

/// While a client keeps the orderly stop from being over, nobody else should come, and nothing is
/// wrong.
#[test]
fn a_registry_that_stops_is_alive_and_not_ready() {
    let (_temp, mut daemon, address) = start();
    let way = Way::new(daemon.address(), &daemon.credential());
    let stays = way.connect(&mut Seeded(1)).unwrap();
    daemon.signal("TERM");
    let mut ready = get(&address, "/readyz");
    until("it is not ready", || {
        ready = get(&address, "/readyz");
        ready.status != "HTTP/1.1 200 OK"
    });
    assert_eq!(ready.status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(ready.body, "stopping\n");
    assert_eq!(get(&address, "/healthz").status, ready.status);
    assert_eq!(get(&address, "/livez").status, "HTTP/1.1 200 OK");
    assert_eq!(get(&address, "/metrics").status, "HTTP/1.1 200 OK");
    drop(stays);
    assert_eq!(daemon.wait().code(), Some(0));
}

/// As `printf ... | nc -N` does.
#[test]
fn whoever_says_at_once_that_it_was_all_is_answered() {
    let (_temp, _daemon, address) = start();
    for request in ["GET /livez HTTP/1.0\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = connect(&address);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
}

/// Nobody waits for a body that nobody wants.
#[test]
fn what_comes_with_a_request_is_not_waited_for() {
    let (_temp, _daemon, address) = start();
    for (method, length) in
        [("POST", "Content-Length: 1000000"), ("PUT", "Transfer-Encoding: chunked")]
    {
        let mut stream = connect(&address);
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
    }
}

/// Every place there is is taken, several times over, by such as do not ask, do not come to an end,
/// or do not read their answers.
#[test]
fn slow_ones_give_way_to_a_health_check() {
    let (_temp, _daemon, address) = start();
    let slow: Vec<_> = (0..64)
        .map(|n| {
            let mut stream = connect(&address);
            let whole = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
            match n % 4 {
                0 => {}
                1 => stream.write_all(&whole[..9]).unwrap(),
                2 => stream.write_all(&whole[..30]).unwrap(),
                // More answers than fit on the way, which nobody reads.
                _ => stream.write_all(&whole.repeat(1000)).unwrap(),
            }
            stream
        })
        .collect();
    assert_eq!(get(&address, "/healthz").status, "HTTP/1.1 200 OK");
    drop(slow);
}

/// A scraper that has asked once, and asks again now and then, is not the one that gives way.
#[test]
fn whoever_asks_now_and_then_keeps_its_place() {
    let (_temp, _daemon, address) = start();
    let mut scraper = BufReader::new(connect(&address));
    let mut slow = Vec::new();
    for _ in 0..8 {
        assert!(served(&mut scraper).is_some_and(|line| line.contains("200")));
        // Its head, and the rest of the answer.
        let mut rest = String::new();
        while !rest.ends_with("\r\n\r\n") {
            scraper.read_line(&mut rest).unwrap();
        }
        scraper.read_exact(&mut [0; 3]).unwrap();
        slow.extend((0..8).map(|_| connect(&address)));
        // They have come when somebody who comes behind them is served.
        assert_eq!(get(&address, "/livez").status, "HTTP/1.1 200 OK");
    }
    let mut first = BufReader::new(slow.remove(0));
    assert_eq!(served(&mut first), None, "the first of the others had to go");
}
