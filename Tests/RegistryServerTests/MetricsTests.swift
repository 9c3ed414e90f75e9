import FoundationEssentials
import ImageStore
import OCI
import Report
import TestSupport
import Testing

@testable import RegistryServer

@Suite struct MetricsTests {
    /// The values of the text by name and labels; every line must be one that Prometheus reads.
    private func values(_ reply: RawClient.Reply) throws -> [String: Double] {
        #expect(reply.headers["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
        var values: [String: Double] = [:]
        for line in String(decoding: reply.body, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("# ") {
            let parts = line.split(separator: " ")
            try #require(parts.count == 2, "\(line)")
            let number: Double = try #require(Double(parts[1]), "\(line)")
            values[String(parts[0])] = number
        }
        return values
    }

    @Test func countsWhatHappens() async throws {
        try await pushing { pusher in
            let client = try pusher.client()
            let bytes = Data(count: 5000)
            let digest = Digest.of(bytes)
            #expect(
                try await client.request("POST", "/v2/app/blobs/uploads/?digest=\(digest)", body: bytes).status == 201)
            _ = try await pusher.begin("app")
            for _ in 0..<2 { #expect(try await client.get("/v2/app/blobs/\(digest)").status == 200) }
            #expect(try await client.get("/v2/app/manifests/none").status == 404)
            #expect(try await client.get("/v2/", method: "OPTIONS").status == 405)
            let values = try values(try await client.get("/metrics"))
            #expect(values["sealer_registry_requests_total{method=\"POST\",status=\"2xx\"}"] == 2)
            #expect(values["sealer_registry_requests_total{method=\"GET\",status=\"2xx\"}"] == 2)
            #expect(values["sealer_registry_requests_total{method=\"GET\",status=\"4xx\"}"] == 1)
            #expect(values["sealer_registry_requests_total{method=\"other\",status=\"4xx\"}"] == 1)
            #expect(values["sealer_registry_received_bytes_total"] == 5000)
            #expect(values["sealer_registry_sent_bytes_total"].map { $0 > 10_000 } == true)
            #expect(values["sealer_registry_open_uploads"] == 1)
            #expect(values["sealer_registry_open_connections"].map { $0 >= 1 } == true)
            #expect(values["sealer_registry_request_duration_seconds_count"] == 6)
            #expect(values["sealer_registry_request_duration_seconds_bucket{le=\"+Inf\"}"] == 6)
        }
    }

    @Test func durationsAddUp() {
        let metrics = Metrics()
        for milliseconds in [0, 1, 2, 100, 101, 1_000_000] {
            metrics.add(
                AccessLine(
                    client: "x", method: "GET", target: "/", status: 200, bytes: 0, received: 0,
                    duration: .milliseconds(milliseconds), isComplete: true, problem: nil))
        }
        let text = metrics.text(connections: 0, uploads: 0)
        for line in [
            "{le=\"0.001\"} 2", "{le=\"0.005\"} 3", "{le=\"0.1\"} 4", "{le=\"0.5\"} 5", "{le=\"300\"} 5",
            "{le=\"+Inf\"} 6",
        ] {
            #expect(text.contains("sealer_registry_request_duration_seconds_bucket\(line)\n"), "\(line)")
        }
    }

    @Test func anUploadUnderWayEndsBeforeTheServerStops() async throws {
        try await pushing { pusher in
            let bytes = noise(2 << 20, seed: 9)
            let digest = Digest.of(bytes)
            let client = try pusher.client()
            try await client.send(
                "POST /v2/app/blobs/uploads/?digest=\(digest) HTTP/1.1\r\nHost: x\r\nContent-Length: \(bytes.count)\r\n\r\n"
            )
            try await client.send(bytes[..<(1 << 20)])
            // The request is under way once the server has begun its blob.
            let end = ContinuousClock.now + .seconds(240)
            while try await pusher.request("GET", "/metrics").body.contains(other: "open_uploads 1") == false,
                ContinuousClock.now < end
            {
                try await Task.sleep(for: .milliseconds(20))
            }
            let idle = try await pusher.begin("app")
            #expect(!idle.isEmpty)
            let stopping = Task { await pusher.server.stop(limit: .seconds(240)) }
            try await client.send(bytes[(1 << 20)...])
            let reply = try await client.reply()
            #expect(reply.status == 201)
            await stopping.value
            #expect(try await pusher.store.size(of: digest) == Int64(bytes.count))
        }
    }
}

extension Data {
    fileprivate func contains(other text: String) -> Bool { String(decoding: self, as: UTF8.self).contains(text) }
}
