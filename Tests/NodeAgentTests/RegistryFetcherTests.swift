import Dispatch
import FoundationEssentials
import Glibc
import ImageStore
import OCI
import RegistryClient
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import NodeAgent

@Suite struct RegistryFetcherTests {
    private static func blob(_ text: String, _ type: String = MediaType.layer) -> (Descriptor, Data) {
        let bytes = Data(text.utf8)
        return (Descriptor(mediaType: type, digest: .of(bytes), size: Int64(bytes.count)), bytes)
    }

    @Test func fetchesBlobsAndManifests() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let blobs = (0..<9).map { Self.blob(String(repeating: "blob \($0) ", count: 10_000 * ($0 + 1))) }
        let config = Self.blob("{}", MediaType.config)
        let document = ImageManifest(config: config.0, layers: blobs.map(\.0))
        let bytes = try canonicalJSON(document)
        let manifest = Descriptor(mediaType: MediaType.manifest, digest: .of(bytes), size: Int64(bytes.count))
        let registry = try TinyRegistry(blobs: blobs + [config], manifests: [(manifest, bytes)])
        let seen = Seen<Int64>()
        let wanted = blobs.map(\.0) + [config.0, manifest]
        try await RegistryFetcher(into: LocalStore(store)).fetch(
            FetchRequest(registry: registry.url, authority: nil, repository: "demo", blobs: wanted),
            advanced: seen.add
        )
        #expect(try await store.missing(wanted) == [])
        #expect(try await store.bytes(of: manifest) == bytes)
        #expect(!seen.all.isEmpty)
        // What is there is not fetched again.
        let before = registry.requests
        try await RegistryFetcher(into: LocalStore(store)).fetch(
            FetchRequest(registry: registry.url, authority: nil, repository: "demo", blobs: wanted),
            advanced: { _ in }
        )
        #expect(registry.requests == before)
        registry.stop()
    }

    @Test func refusesWrongBytes() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let (wanted, bytes) = Self.blob("the right bytes")
        let registry = try TinyRegistry(blobs: [(wanted, Data(bytes.reversed()))], manifests: [])
        let failure = await #expect(throws: Failure.self) {
            try await RegistryFetcher(into: LocalStore(store)).fetch(
                FetchRequest(registry: registry.url, authority: nil, repository: "demo", blobs: [wanted]),
                advanced: { _ in }
            )
        }
        #expect(failure?.description.contains("\(wanted.digest)") == true)
        #expect(try await store.missing([wanted]) == [wanted])
        registry.stop()
    }

    @Test func saysWhichBlobTheRegistryLacks() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let registry = try TinyRegistry(blobs: [], manifests: [])
        let (wanted, _) = Self.blob("nowhere")
        let failure = await #expect(throws: Failure.self) {
            try await RegistryFetcher(into: LocalStore(store)).fetch(
                FetchRequest(registry: registry.url, authority: nil, repository: "demo", blobs: [wanted]),
                advanced: { _ in }
            )
        }
        #expect(failure?.kind == .notFound)
        registry.stop()
    }
}

/// A registry of a few blobs on loopback: just enough to be fetched from.
private final class TinyRegistry: Sendable {
    let url: String
    private let listener: Int32
    private let content: [String: (type: String, bytes: Data)]
    private let count = Mutex(0)

    var requests: Int { count.withLock { $0 } }

    init(blobs: [(Descriptor, Data)], manifests: [(Descriptor, Data)]) throws {
        var content: [String: (type: String, bytes: Data)] = [:]
        for (blob, bytes) in blobs {
            content["/v2/demo/blobs/\(blob.digest)"] = ("application/octet-stream", bytes)
        }
        for (manifest, bytes) in manifests {
            content["/v2/demo/manifests/\(manifest.digest)"] = (manifest.mediaType, bytes)
        }
        self.content = content
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(descriptor, raw, size) == 0 && listen(descriptor, 32) == 0
                    && getsockname(descriptor, raw, &size) == 0
            }
        }
        guard result else { throw Errno(rawValue: errno) }
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        DispatchQueue(label: "registry").async { [weak self] in
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0, let self else { return }
                DispatchQueue(label: "connection").async {
                    self.serve(connection)
                    close(connection)
                }
            }
        }
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private func serve(_ connection: Int32) {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 8192)
        while bytes.firstRange(of: Array("\r\n\r\n".utf8)) == nil {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            bytes += buffer[..<count]
        }
        count.withLock { $0 += 1 }
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        let found = words.count > 1 ? content[String(words[1])] : nil
        let body = found?.bytes ?? Data("{}".utf8)
        let head =
            "HTTP/1.1 \(found == nil ? "404 Not Found" : "200 OK")\r\nContent-Type: \(found?.type ?? "application/json")\r\n"
            + "Content-Length: \(body.count)\r\nConnection: close\r\n\r\n"
        var rest = (Data(head.utf8) + body)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(connection, $0.baseAddress, $0.count) }
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}
