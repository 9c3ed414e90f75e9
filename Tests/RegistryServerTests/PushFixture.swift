import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

extension RegistryServerConfiguration {
    /// One for tests whose subject is not time: between two requests of a client whose machine is busy with other tests more may
    /// pass than is usual.
    static var patient: RegistryServerConfiguration {
        var configuration = RegistryServerConfiguration()
        configuration.requestLimit = .seconds(600)
        configuration.receiveLimit = .seconds(600)
        configuration.sendLimit = .seconds(600)
        return configuration
    }
}

/// Runs a registry that takes pushes, on an empty store, while `body` runs.
///
/// - Parameter hasAccounts: alice may push, bob may only pull, carol may push and sees `docker.io/carol` only; else everybody
///   may push.
func pushing(
    hasAccounts: Bool = false,
    pendingLimit: Duration = .seconds(600),
    _ change: (inout RegistryServerConfiguration) -> Void = { _ in },
    _ body: (Pusher) async throws -> Void
) async throws {
    let scratch = try Scratch()
    let store = try await ImageStore.open(scratch.path.appending("store"))
    var configuration = RegistryServerConfiguration.patient
    configuration.isWritable = true
    configuration.isDeletable = true
    if hasAccounts {
        let file = scratch.path.appending("htpasswd")
        try AtomicFile.write(
            Array(
                "alice:\(PasswordTests.secretHash)\nbob:\(PasswordTests.pullHash)\ncarol:\(PasswordTests.thirdHash)\n"
                    .utf8),
            to: file, permissions: .ownerReadWrite)
        configuration.access.htpasswd = file
        configuration.access.pushers = ["alice", "carol"]
        configuration.access.confined = ["carol": ["docker.io/carol"]]
    } else {
        configuration.access.allowsAnonymousPush = true
    }
    change(&configuration)
    let server = try await RegistryServer.start(
        configuration, content: WritableStoreContent(store: store, pendingLimit: pendingLimit))
    do {
        try await body(Pusher(store: store, server: server))
    } catch {
        await server.stop(limit: .seconds(1))
        throw error
    }
    await server.stop(limit: .seconds(10))
    // Whatever was begun and not ended is gone, and no file is left open.
    #expect(try Folder.names(in: store.root.appending("ingest")) == [])
    for name in try Folder.names(in: "/proc/self/fd") {
        var target = [CChar](repeating: 0, count: 4096)
        guard readlink("/proc/self/fd/\(name)", &target, 4095) > 0 else { continue }
        let path = String(decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #expect(!path.hasPrefix(store.root.appending("blobs").string), "\(path) is still open")
    }
}

/// A client of a registry that takes pushes.
struct Pusher {
    let store: ImageStore
    let server: RunningRegistry

    static let alice = ["Authorization": "Basic \(Data("alice:secret".utf8).base64EncodedString())"]
    static let bob = ["Authorization": "Basic \(Data("bob:pull-only".utf8).base64EncodedString())"]
    static let carol = ["Authorization": "Basic \(Data("carol:third".utf8).base64EncodedString())"]

    func client() throws -> RawClient { try RawClient(port: server.port) }

    /// One request on a connection of its own.
    func request(_ method: String, _ target: String, _ headers: [String: String] = [:], body: Data = Data())
        async throws -> RawClient.Reply
    {
        try await client().request(method, target, headers, body: body)
    }

    /// Begins an upload and gives its address.
    func begin(_ repository: String, _ headers: [String: String] = [:], query: String = "") async throws -> String {
        let reply = try await request("POST", "/v2/\(repository)/blobs/uploads/\(query)", headers)
        #expect(reply.status == 202)
        return try #require(reply.headers["location"])
    }

    /// Pushes a blob whole.
    @discardableResult
    func blob(_ bytes: Data, to repository: String, _ headers: [String: String] = [:], type: String = MediaType.layer)
        async throws -> Descriptor
    {
        let digest = Digest.of(bytes)
        let reply = try await request(
            "POST", "/v2/\(repository)/blobs/uploads/?digest=\(digest)", headers, body: bytes)
        #expect(reply.status == 201, "\(String(decoding: reply.body, as: UTF8.self))")
        return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
    }

    /// Pushes a manifest.
    @discardableResult
    func put(
        _ document: some Encodable, type: String = MediaType.manifest, to repository: String, as name: String,
        _ headers: [String: String] = [:]
    ) async throws -> RawClient.Reply {
        try await request(
            "PUT", "/v2/\(repository)/manifests/\(name)", headers.merging(["Content-Type": type]) { $1 },
            body: canonicalJSON(document))
    }

    /// Pushes an image of one layer under a tag.
    @discardableResult
    func image(_ content: String, to repository: String, as tag: String, _ headers: [String: String] = [:])
        async throws -> (manifest: Descriptor, layer: Descriptor)
    {
        let layer = try await blob(Data(content.utf8), to: repository, headers)
        let config = try await blob(
            Data("{\"of\":\"\(content)\"}".utf8), to: repository, headers, type: MediaType.config)
        let manifest = ImageManifest(config: config, layers: [layer])
        let reply = try await put(manifest, to: repository, as: tag, headers)
        #expect(reply.status == 201, "\(String(decoding: reply.body, as: UTF8.self))")
        let bytes = try canonicalJSON(manifest)
        return (Descriptor(mediaType: MediaType.manifest, digest: .of(bytes), size: Int64(bytes.count)), layer)
    }
}

/// The code of the first error of a reply.
func code(_ reply: RawClient.Reply) -> String {
    struct Body: Decodable {
        struct Item: Decodable { var code: String }
        var errors: [Item]
    }
    return (try? JSONDecoder().decode(Body.self, from: reply.body))?.errors.first?.code ?? ""
}

/// Bytes that compress badly and are the same each time.
func noise(_ count: Int, seed: UInt64) -> Data {
    var random = SeededGenerator(seed: seed)
    var bytes = Data(capacity: count + 8)
    while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
    return bytes.prefix(count)
}
