import FoundationEssentials
import ImageStore
import OCI
import Report
import Synchronization
import TestSupport

@testable import RegistryClient

/// A registry that takes pushes as the distribution specification says, with faults that a test asks for.
final class FakePushTarget: Sendable {
    /// What it does differently.
    struct Faults: Sendable {
        /// Answers chunks with this status.
        var chunkStatus: Int?
        var smallestChunk: Int?
        /// What it does when asked to mount: nil takes the blob when the other repository has it.
        var mountStatus: Int?
        /// Comes before the path of an upload's address.
        var uploadPrefix = ""
        /// Drops an upload whose connection was cut.
        var forgetsUploads = false
        /// The digest that it announces for whatever it took.
        var announcedDigest: Digest?
        /// What a tag stands for, whatever was pushed.
        var tagDigest: Digest?
        /// Answers the first uploads with 503.
        var busy = 0
        /// Whether it keeps lists of referrers itself.
        var hasReferrers = true
        /// How often another client writes its own list of referrers over one that was just pushed.
        var lostLists = 0
    }

    private struct State {
        var blobs: [String: [Digest: [UInt8]]] = [:]
        var manifests: [String: [String: [UInt8]]] = [:]
        var uploads: [String: [UInt8]] = [:]
        var counter = 0
        var faults: Faults
        /// What was taken, in order.
        var events: [String] = []
    }

    private let state: Mutex<State>

    init(_ faults: Faults = Faults()) {
        state = Mutex(State(faults: faults))
    }

    /// What was taken, in order: `blob REPOSITORY HEX`, `mount …`, `manifest REPOSITORY NAME`.
    var events: [String] { state.withLock { $0.events } }

    func forgetEvents() { state.withLock { $0.events = [] } }

    func has(_ digest: Digest, in repository: String) -> Bool {
        state.withLock { $0.blobs[repository]?[digest] != nil }
    }

    func manifest(_ name: String, in repository: String) -> [UInt8]? {
        state.withLock { $0.manifests[repository]?[name] }
    }

    func putManifest(_ bytes: Data, as name: String, in repository: String) {
        state.withLock { $0.manifests[repository, default: [:]][name] = Array(bytes) }
    }

    func put(_ bytes: Data, in repository: String) {
        state.withLock { $0.blobs[repository, default: [:]][.of(bytes)] = Array(bytes) }
    }

    func answer(_ request: FakeRegistry.Request) -> FakeRegistry.Answer {
        state.withLock { Self.answer(request, &$0) }
    }

    private static func answer(_ request: FakeRegistry.Request, _ state: inout State) -> FakeRegistry.Answer {
        // Where the prefix leads elsewhere, that host has uploads under the same paths.
        let path = request.path.hasPrefix("/moved") ? String(request.path.dropFirst("/moved".count)) : request.path
        let query = query(of: request.target)
        guard path.hasPrefix("/v2/") else { return .json(404, "{}") }
        let rest = String(path.dropFirst("/v2/".count))
        if let range = rest.firstRange(of: "/blobs/uploads/") {
            let (repository, id) = (String(rest[..<range.lowerBound]), String(rest[range.upperBound...]))
            return id.isEmpty
                ? begin(repository, query, &state) : upload(request, repository, id, query, &state)
        }
        if let range = rest.firstRange(of: "/blobs/") {
            let digest = try? Digest(String(rest[range.upperBound...]))
            let has = digest.map { state.blobs[String(rest[..<range.lowerBound])]?[$0] != nil } ?? false
            return has ? .reply(200, [:], []) : .reply(404, [:], [])
        }
        if rest.contains("/referrers/"), state.faults.hasReferrers {
            return .reply(200, ["Content-Type": MediaType.index], Array(#"{"schemaVersion":2,"manifests":[]}"#.utf8))
        }
        guard let range = rest.firstRange(of: "/manifests/") else { return .json(404, "{}") }
        return manifest(request, String(rest[..<range.lowerBound]), String(rest[range.upperBound...]), &state)
    }

    private static func query(of target: String) -> [String: String] {
        var result: [String: String] = [:]
        for pair in target.drop(while: { $0 != "?" }).dropFirst().split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            if parts.count == 2 {
                result[String(parts[0])] = String(parts[1].replacing("%3A", with: ":").replacing("%2F", with: "/"))
            }
        }
        return result
    }

    private static func begin(_ repository: String, _ query: [String: String], _ state: inout State)
        -> FakeRegistry.Answer
    {
        if let from = query["from"], let digest = try? Digest(query["mount"] ?? "") {
            if let status = state.faults.mountStatus, status != 202 { return .json(status, "{}") }
            if state.faults.mountStatus == nil, let bytes = state.blobs[from]?[digest] {
                state.blobs[repository, default: [:]][digest] = bytes
                state.events.append("mount \(repository) \(digest.hex)")
                return .reply(201, ["Location": "/v2/\(repository)/blobs/\(digest)"], [])
            }
        }
        state.counter += 1
        let id = "u\(state.counter)"
        state.uploads[id] = []
        var headers = ["Location": location(repository, id, state)]
        if let smallest = state.faults.smallestChunk { headers["OCI-Chunk-Min-Length"] = "\(smallest)" }
        return .reply(202, headers, [])
    }

    /// A new address each time, as registries that keep state in it have.
    private static func location(_ repository: String, _ id: String, _ state: State) -> String {
        "\(state.faults.uploadPrefix)/v2/\(repository)/blobs/uploads/\(id)?state=\(state.uploads[id]?.count ?? 0)"
    }

    private static func upload(
        _ request: FakeRegistry.Request,
        _ repository: String,
        _ id: String,
        _ query: [String: String],
        _ state: inout State
    ) -> FakeRegistry.Answer {
        guard let bytes = state.uploads[id] else { return .json(404, #"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#) }
        func progress(_ status: Int) -> FakeRegistry.Answer {
            let count = state.uploads[id]?.count ?? 0
            return .reply(
                status, ["Location": location(repository, id, state), "Range": "0-\(max(count - 1, 0))"], [])
        }
        if request.isCut {
            state.uploads[id] = state.faults.forgetsUploads ? nil : bytes + request.bytes
            return .silence
        }
        guard query["state"] == "\(bytes.count)" || request.method == "GET" || request.method == "DELETE" else {
            return .json(400, #"{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"old address"}]}"#)
        }
        switch request.method {
        case "GET": return progress(204)
        case "DELETE":
            state.uploads[id] = nil
            return .reply(204, [:], [])
        case "PATCH":
            if let status = state.faults.chunkStatus { return .json(status, "{}") }
            let range = request.headers["content-range"]?.split(separator: "-").compactMap { Int($0) } ?? []
            guard range == [bytes.count, bytes.count + request.bytes.count - 1] else { return progress(416) }
            state.uploads[id] = bytes + request.bytes
            return progress(202)
        case "PUT":
            if state.faults.busy > 0 {
                state.faults.busy -= 1
                return .json(503, "{}", ["Retry-After": "0"])
            }
            let all = bytes + request.bytes
            guard let digest = try? Digest(query["digest"] ?? ""), Digest.of(Data(all), digest.algorithm) == digest
            else {
                return .json(400, #"{"errors":[{"code":"DIGEST_INVALID"}]}"#)
            }
            state.uploads[id] = nil
            state.blobs[repository, default: [:]][digest] = all
            state.events.append("blob \(repository) \(digest.hex)")
            return .reply(201, ["Docker-Content-Digest": "\(state.faults.announcedDigest ?? digest)"], [])
        default: return .json(405, "{}")
        }
    }

    private static func manifest(
        _ request: FakeRegistry.Request,
        _ repository: String,
        _ name: String,
        _ state: inout State
    ) -> FakeRegistry.Answer {
        guard request.method == "PUT" else {
            guard let bytes = state.manifests[repository]?[name] else { return .reply(404, [:], []) }
            let digest = name.contains(":") ? nil : state.faults.tagDigest
            let type = Document.mediaType(of: Data(bytes)) ?? "application/octet-stream"
            return .reply(
                200, ["Docker-Content-Digest": "\(digest ?? .of(Data(bytes)))", "Content-Type": type], bytes)
        }
        let digest = Digest.of(Data(request.bytes))
        guard let document = try? Document(Data(request.bytes), mediaType: request.headers["content-type"] ?? "") else {
            return .json(400, #"{"errors":[{"code":"MANIFEST_INVALID"}]}"#)
        }
        // As good registries do: what a document refers to must be there first.
        let lacking = document.references.first { reference in
            if case .index = document { return state.manifests[repository]?["\(reference.digest)"] == nil }
            return state.blobs[repository]?[reference.digest] == nil
        }
        if let lacking {
            return .json(404, #"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"\#(lacking.digest)"}]}"#)
        }
        state.events.append("manifest \(repository) \(name)")
        var headers = ["Docker-Content-Digest": "\(state.faults.announcedDigest ?? digest)"]
        if state.faults.hasReferrers, let subject = ReferrerFields(Data(request.bytes))?.subject {
            headers["OCI-Subject"] = "\(subject.digest)"
        }
        if name.hasPrefix("sha256-"), state.faults.lostLists > 0 {
            state.faults.lostLists -= 1
            return .reply(201, headers, [])
        }
        state.manifests[repository, default: [:]][name] = request.bytes
        state.manifests[repository, default: [:]]["\(digest)"] = request.bytes
        return .reply(201, headers, [])
    }
}

/// An image like a ClusterImage in a store: an index of a rootfs and a contained image.
struct StoredImage: Sendable {
    var index: Descriptor
    var rootfs: Descriptor
    var rootfsLayers: [Descriptor]
    var member: Descriptor
    var memberLayer: Descriptor
    /// Both configurations.
    var configs: [Descriptor]

    var blobs: [Descriptor] { configs + rootfsLayers + [memberLayer] }

    init(in store: ImageStore, layers: [Data], member name: String = "registry.test/lib/app:1") async throws {
        func manifest(_ layers: [Descriptor], _ marker: String) async throws -> (
            manifest: Descriptor, config: Descriptor
        ) {
            var config = ImageConfig(platform: .current, rootfs: .init(diffIDs: layers.map(\.digest)))
            config.config = .init(labels: ["of": marker])
            let stored = try await store.put(canonicalJSON(config), mediaType: MediaType.config)
            let manifest = ImageManifest(config: stored, layers: layers)
            return (try await store.put(canonicalJSON(manifest), mediaType: MediaType.manifest), stored)
        }
        rootfsLayers = []
        for layer in layers { rootfsLayers.append(try await store.put(layer, mediaType: MediaType.layer)) }
        memberLayer = try await store.put(Data("the layer of \(name)".utf8), mediaType: MediaType.layerGzip)
        let first = try await manifest(rootfsLayers, "rootfs")
        let second = try await manifest([memberLayer], "member")
        (rootfs, member) = (first.manifest, second.manifest)
        configs = [first.config, second.config]
        var entries = [rootfs, member]
        entries[0].annotations = [AnnotationKey.content: "rootfs"]
        entries[1].annotations = [AnnotationKey.content: "image", AnnotationKey.imageName: name]
        index = try await store.put(
            canonicalJSON(ImageIndex(artifactType: MediaType.clusterImage, manifests: entries)),
            mediaType: MediaType.index)
    }
}

/// How far a push said that it was.
final class Advances: ProgressSink {
    private let seen = Mutex<[(completed: Int64, total: Int64?)]>([])

    var all: [(completed: Int64, total: Int64?)] { seen.withLock { $0 } }

    /// Whether none was beyond its total, or below nothing.
    var areWithinTotal: Bool { all.allSatisfy { $0.completed >= 0 && $0.completed <= $0.total ?? 0 } }

    func send(_ event: ProgressEvent) {
        if case .advanced(_, let completed, let total, _) = event {
            seen.withLock { $0.append((completed, total)) }
        }
    }
}

func randomBytes(_ size: Int, seed: UInt64) -> Data {
    var random = SeededGenerator(seed: seed)
    return Data((0..<size).map { _ in UInt8.random(in: .min ... .max, using: &random) })
}

/// Counts how often a fault may still happen.
final class Times: Sendable {
    private let left: Mutex<Int>
    init(_ count: Int) { left = Mutex(count) }
    func take() -> Bool {
        left.withLock { left in
            guard left > 0 else { return false }
            left -= 1
            return true
        }
    }
}

func pushOnce(
    _ descriptor: Descriptor,
    of store: ImageStore,
    to name: String,
    _ configuration: RegistryConfiguration = quickConfiguration(),
    sources: [String] = [],
    progress: any ProgressSink = SilentProgress()
) async throws -> PushedImage {
    let client = RegistryClient(configuration: configuration)
    let pusher = ImagePusher(client: client, store: store, concurrency: 2, progress: progress)
    let result = await Result.catching {
        try await pusher.push(descriptor, to: Reference(name), sources: sources.map { try Reference($0) })
    }
    await client.close()
    return try result.get()
}

func configuration(chunk: Int64) -> RegistryConfiguration {
    var configuration = quickConfiguration()
    configuration.limits.chunkSize = chunk
    return configuration
}
