//! The metrics of the admin port in the words of OTLP: one set of instruments feeds both.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use super::RPC_DURATION;

/// Names that OpenTelemetry has for what Prometheus can't write with dots: ours, theirs, and theirs unit.
const CONVENTIONS: [(&str, &str, &str); 1] = [(RPC_DURATION, "rpc.server.call.duration", "s")];
/// The same for labels.
const LABELS: [(&str, &str); 3] =
    [("rpc_system_name", "rpc.system.name"), ("rpc_method", "rpc.method"), ("rpc_response_status_code", "rpc.response.status_code")];

/// Who the metrics are of.
pub(super) fn resource(attributes: &[(&str, &str)]) -> Resource {
    Resource { attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(), ..Resource::default() }
}

/// All metrics as one export. Counters count since `started`.
pub(super) fn request(resource: &Resource, families: &[MetricFamily], started: SystemTime, now: SystemTime) -> ExportMetricsServiceRequest {
    let (started, now) = (nanos(started), nanos(now));
    let metrics = families.iter().filter_map(|family| metric(family, started, now)).collect();
    let scope = InstrumentationScope { name: "upistream".to_owned(), ..InstrumentationScope::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource: Some(resource.clone()), scope_metrics, ..ResourceMetrics::default() }],
    }
}

/// `None`: a kind that we have none of.
fn metric(family: &MetricFamily, started: u64, now: u64) -> Option<Metric> {
    let (name, unit) = match CONVENTIONS.iter().find(|(ours, ..)| *ours == family.name()) {
        Some((_, name, unit)) => (*name, *unit),
        None => (family.name(), ""),
    };
    let points = |value: fn(&prometheus::proto::Metric) -> f64| {
        let point = move |metric: &prometheus::proto::Metric| NumberDataPoint {
            attributes: labels(metric.get_label()),
            start_time_unix_nano: started,
            time_unix_nano: now,
            value: Some(number_data_point::Value::AsDouble(value(metric))),
            ..NumberDataPoint::default()
        };
        family.get_metric().iter().map(point).collect::<Vec<_>>()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => metric::Data::Sum(Sum {
            data_points: points(|metric| metric.get_counter().get_value()),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        MetricType::GAUGE => metric::Data::Gauge(Gauge { data_points: points(|metric| metric.get_gauge().get_value()) }),
        MetricType::HISTOGRAM => metric::Data::Histogram(Histogram {
            data_points: family.get_metric().iter().map(|metric| distribution(metric, started, now)).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: name.to_owned(),
        description: family.help().to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

/// Prometheus counts what is at most as large as a bound, OTLP what lies between two of them.
fn distribution(metric: &prometheus::proto::Metric, started: u64, now: u64) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count();
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in finite {
        bounds.push(bucket.upper_bound());
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(count.saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(metric.get_label()),
        start_time_unix_nano: started,
        time_unix_nano: now,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn labels(pairs: &[LabelPair]) -> Vec<KeyValue> {
    let key =
        |ours: &str| LABELS.iter().find(|(name, _)| *name == ours).map_or_else(|| ours.to_owned(), |(_, theirs)| (*theirs).to_owned());
    pairs.iter().map(|pair| text(&key(pair.name()), pair.value())).collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_bounds_is_counted_once() {
        let metrics = super::super::Metrics::new();
        let calls = metrics.rpc_duration.with_label_values(&["grpc", "upistream.v1.QrService/CreateQr", "OK"]);
        for seconds in [0.001, 0.002, 0.3, 11.0] {
            calls.observe(seconds);
        }
        metrics.webhooks.with_label_values(&["shop", "learned"]).inc();
        let request = request(&resource(&[("service.name", "pay")]), &metrics.gather(), UNIX_EPOCH, SystemTime::now());
        let exported = &request.resource_metrics[0].scope_metrics[0].metrics;
        let find = |name: &str| exported.iter().find(|metric| metric.name == name).and_then(|metric| metric.data.clone());
        let Some(metric::Data::Histogram(calls)) = find("rpc.server.call.duration") else { panic!("{exported:?}") };
        let point = &calls.data_points[0];
        assert_eq!((point.count, point.bucket_counts.len()), (4, point.explicit_bounds.len() + 1));
        assert_eq!((point.bucket_counts[0], point.bucket_counts.last()), (2, Some(&1)));
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), 4);
        assert!(point.attributes.contains(&text("rpc.method", "upistream.v1.QrService/CreateQr")), "{point:?}");
        let Some(metric::Data::Sum(webhooks)) = find("upistream_webhooks_total") else { panic!("{exported:?}") };
        assert!(webhooks.is_monotonic && webhooks.data_points[0].value == Some(number_data_point::Value::AsDouble(1.0)));
    }
}
