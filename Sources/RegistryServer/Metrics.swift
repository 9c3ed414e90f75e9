import Synchronization

/// Counts what the server does, for Prometheus (text format 0.0.4).
final class Metrics: Sendable {
    private struct Key: Hashable, Comparable {
        var method: String
        var status: String

        static func < (a: Key, b: Key) -> Bool { (a.method, a.status) < (b.method, b.status) }
    }

    private struct State {
        var requests: [Key: UInt64] = [:]
        var received: Int64 = 0
        var sent: Int64 = 0
        /// How many requests took at most the bound, and more than the one before.
        var buckets = [UInt64](repeating: 0, count: Metrics.bounds.count)
        var count: UInt64 = 0
        var seconds = 0.0
    }

    /// In seconds.
    private static let bounds: [(text: String, value: Double)] = [
        ("0.001", 0.001), ("0.005", 0.005), ("0.025", 0.025), ("0.1", 0.1), ("0.5", 0.5), ("2.5", 2.5), ("10", 10),
        ("60", 60), ("300", 300),
    ]
    /// A client may invent methods; the list of counters must not grow with them.
    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

    private let state = Mutex(State())

    /// Counts a request.
    func add(_ line: AccessLine) {
        let method = Self.methods.contains(line.method) ? line.method : "other"
        let (seconds, attoseconds) = line.duration.components
        let duration = Double(seconds) + Double(attoseconds) / 1e18
        state.withLock { state in
            state.requests[Key(method: method, status: "\(line.status / 100)xx"), default: 0] += 1
            state.received += line.received
            state.sent += line.bytes
            if let bucket = Self.bounds.firstIndex(where: { duration <= $0.value }) { state.buckets[bucket] += 1 }
            state.count += 1
            state.seconds += duration
        }
    }

    /// All counters as text.
    ///
    /// - Parameter staleAccounts: whether older accounts are in force than the file should have; nil without accounts.
    func text(connections: Int, uploads: Int, staleAccounts: Bool? = nil) -> String {
        let state = state.withLock { $0 }
        var lines: [String] = []
        func metric(_ name: String, _ type: String, _ help: String, _ values: [String]) {
            lines += ["# HELP sealer_registry_\(name) \(help)", "# TYPE sealer_registry_\(name) \(type)"]
            lines += values.map { "sealer_registry_\(name)\($0)" }
        }
        metric(
            "requests_total", "counter", "Requests, by method and class of status.",
            state.requests.sorted { $0.key < $1.key }.map {
                "{method=\"\($0.key.method)\",status=\"\($0.key.status)\"} \($0.value)"
            })
        metric("received_bytes_total", "counter", "Bytes of requests' bodies.", [" \(state.received)"])
        metric("sent_bytes_total", "counter", "Bytes of replies' bodies.", [" \(state.sent)"])
        metric("open_connections", "gauge", "Connections that are open.", [" \(connections)"])
        metric("open_uploads", "gauge", "Uploads that are open.", [" \(uploads)"])
        if let staleAccounts {
            metric(
                "accounts_stale", "gauge",
                "1 when the file of accounts has changed and cannot be read, so that older accounts are in force.",
                [" \(staleAccounts ? 1 : 0)"])
        }
        var total: UInt64 = 0
        var values: [String] = []
        for (bound, count) in zip(Self.bounds, state.buckets) {
            total += count
            values.append("_bucket{le=\"\(bound.text)\"} \(total)")
        }
        values += ["_bucket{le=\"+Inf\"} \(state.count)", "_sum \(state.seconds)", "_count \(state.count)"]
        metric("request_duration_seconds", "histogram", "How long requests took, replies included.", values)
        return lines.joined(separator: "\n") + "\n"
    }
}
