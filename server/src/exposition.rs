//! The two text formats of metrics.

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, the default.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Prometheus,
}

impl Format {
    /// Chooses the format that these `Accept` headers prefer.
    pub fn wanted<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        // How specific the best match is, and its weight in thousandths.
        let (mut open_metrics, mut prometheus) = ((0, 0), (0, 0));
        for range in accept.flat_map(|header| header.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let Some(kind) = parts.next() else { continue };
            let kind = kind.to_ascii_lowercase();
            // Without a weight it is the highest one.
            let liked =
                parts.find_map(|part| part.strip_prefix("q=").map(thousandths)).unwrap_or(1000);
            let matches = match kind.as_str() {
                "application/openmetrics-text" => [3, 0],
                "text/plain" => [0, 3],
                "application/*" => [2, 0],
                "text/*" => [0, 2],
                "*/*" => [1, 1],
                _ => [0, 0],
            };
            for (specific, best) in matches.into_iter().zip([&mut open_metrics, &mut prometheus]) {
                if specific > 0 {
                    *best = (*best).max((specific, liked));
                }
            }
        }
        if prometheus.1 > open_metrics.1 { Self::Prometheus } else { Self::OpenMetrics }
    }

    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts a text in OpenMetrics to this format.
    pub fn of_open_metrics(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => to_prometheus(&text),
        }
    }
}

/// Reads a weight of `Accept`, in thousandths. An illegal weight is 0.
fn thousandths(weight: &str) -> u16 {
    let weight = weight.parse::<f64>().unwrap_or(0.0).clamp(0.0, 1.0);
    // The cast is exact, because the weight is clamped to 0 to 1000.
    (weight * 1000.0) as u16
}

/// Converts OpenMetrics to the format of Prometheus: a counter is described by the name of its
/// sample, and there are no units and no end mark.
fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::new();
    let mut help = None;
    for line in open_metrics.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", _, told] => help = Some(told),
            ["#", "TYPE", name, kind] => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some(told) = help.take() {
                    text.push_str(&format!("# HELP {name}{suffix} {told}\n"));
                }
                text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            ["#", ..] => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_gets_what_they_like_better() {
        let prometheus_server = "application/openmetrics-text;version=1.0.0;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let asked = [
            (&[][..], Format::OpenMetrics),
            (&["*/*"], Format::OpenMetrics),
            (&[prometheus_server], Format::OpenMetrics),
            (&["text/plain"], Format::Prometheus),
            (&["text/plain;version=0.0.4, */*;q=0.1"], Format::Prometheus),
            (&["text/plain;q=0.4, application/openmetrics-text;q=0.5"], Format::OpenMetrics),
            (&["application/openmetrics-text;q=0", "*/*"], Format::Prometheus),
            (&["*/*;q=0.9, application/openmetrics-text; q=0.1"], Format::Prometheus),
            (&["TEXT/*"], Format::Prometheus),
            (&["application/json"], Format::OpenMetrics),
            (&["text/plain;q=many"], Format::OpenMetrics),
            (&[";,q=;;,\u{7f}"], Format::OpenMetrics),
        ];
        for (accept, wanted) in asked {
            assert_eq!(Format::wanted(accept.iter().copied()), wanted, "{accept:?}");
        }
    }

    #[test]
    fn counters_are_described_by_the_name_of_their_sample() {
        let open_metrics = "# HELP a Some things\n# TYPE a counter\na_total{of=\"x y\"} 1\n\
            # HELP b Time\n# UNIT b seconds\n# TYPE b histogram\n\
            b_sum 0.5\nb_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let text = "# HELP a_total Some things\n# TYPE a_total counter\na_total{of=\"x y\"} 1\n\
            # HELP b Time\n# TYPE b histogram\nb_sum 0.5\nb_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(Format::Prometheus.of_open_metrics(open_metrics.into()), text);
        assert_eq!(Format::OpenMetrics.of_open_metrics(open_metrics.into()), open_metrics);
    }
}
