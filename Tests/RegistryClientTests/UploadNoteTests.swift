import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

/// A push that ended in the middle of an upload leaves a note, and the next push goes on there.
@Suite struct UploadNoteTests {
    /// Made once: it takes a while.
    private static let large = randomBytes(700_000, seed: 1)
    private var layer: Data { Self.large }

    /// One attempt, and every blob of 100 kB or more is worth a note.
    private func configuration(attempts: Int = 1, chunk: Int64 = 64 << 20) -> RegistryConfiguration {
        var configuration = quickConfiguration()
        configuration.limits.attempts = attempts
        configuration.limits.resumableSize = 100_000
        configuration.limits.chunkSize = chunk
        return configuration
    }

    private func notes(_ store: ImageStore) throws -> [String] {
        try Folder.names(in: store.root.appending("ingest"))
    }

    /// Breaks a push after 300,000 bytes of its large blob, gives the registry to `change`, and pushes again.
    private func goOn(
        _ faults: FakePushTarget.Faults = .init(),
        chunk: Int64 = 64 << 20,
        registryAnswers: @escaping @Sendable (FakeRegistry.Request, FakePushTarget) -> FakeRegistry.Answer? = { _, _ in
            nil
        },
        leaves count: Int = 0,
        change: (ImageStore, FakePushTarget) async throws -> Void = { _, _ in },
        check: ([FakeRegistry.Request], PushedImage) throws -> Void
    ) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [layer])
        let cut = Times(1)
        let isAgain = Mutex(false)
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start(
            cutAfter: {
                ["PATCH", "PUT"].contains($0.method) && $0.path.contains("/uploads/")
                    && ($0.headers["content-length"].flatMap { Int($0) } ?? 0) >= 100_000
                    && ($0.headers["content-range"] ?? "0-").hasPrefix(chunk < 700_000 ? "\(chunk)-" : "0-")
                    && cut.take()
                    ? (chunk < 700_000 ? 50_000 : 300_000) : nil
            }
        ) { request in
            if isAgain.withLock({ $0 }), let answer = registryAnswers(request, target) { return answer }
            return target.answer(request)
        }
        let name = "\(registry.host)/a/b:v1"
        await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: name, configuration(chunk: chunk))
        }
        #expect(try notes(store).count == 1)
        let before = registry.requests.count
        isAgain.withLock { $0 = true }
        try await change(store, target)
        let pushed = try await pushOnce(image.index, of: store, to: name, configuration(attempts: 3, chunk: chunk))
        #expect(target.has(.of(layer), in: "a/b"))
        #expect(target.manifest("v1", in: "a/b").map { Digest.of(Data($0)) } == image.index.digest)
        #expect(try notes(store).count == count)
        #expect(try await store.check().isClean)
        try check(Array(registry.requests.dropFirst(before)), pushed)
        try await registry.stop()
    }

    private func ranges(_ requests: [FakeRegistry.Request]) -> [String?] {
        requests.filter { $0.method == "PATCH" }.map { $0.headers["content-range"] }
    }

    @Test func anUploadIsGoneOnWithByTheNextPush() async throws {
        try await goOn { requests, pushed in
            #expect(ranges(requests) == ["300000-699999"])
            #expect(pushed.sentBlobs.contains { $0.size == 700_000 })
        }
    }

    @Test func chunksAreGoneOnWithByTheNextPush() async throws {
        try await goOn(chunk: 200_000) { requests, _ in
            #expect(ranges(requests) == ["250000-449999", "450000-649999", "650000-699999"])
        }
    }

    @Test func whatTheRegistryForgotIsSentAnew() async throws {
        var faults = FakePushTarget.Faults()
        faults.forgetsUploads = true
        try await goOn(faults) { requests, _ in
            #expect(requests.contains { $0.method == "PUT" && $0.bytes.count == 700_000 })
        }
    }

    /// The registry had got all of it, but its answer did not arrive any more.
    @Test func whatIsThereByNowIsNotSent() async throws {
        let layer = layer
        try await goOn(
            registryAnswers: { request, target in
                // As if it had come in between the first question and the upload.
                if request.method == "GET", request.path.contains("/uploads/") {
                    target.put(layer, in: "a/b")
                    return .json(404, "{}")
                }
                return nil
            }
        ) { requests, pushed in
            #expect(!requests.contains { $0.bytes.count > 10_000 })
            #expect(!pushed.sentBlobs.contains { $0.size == 700_000 })
            #expect(pushed.presentBytes >= 700_000)
        }
    }

    /// So it is deleted also when another one brought the blob.
    @Test func theNoteOfABlobThatIsThereIsDeleted() async throws {
        let layer = layer
        try await goOn(change: { _, target in target.put(layer, in: "a/b") }) { requests, _ in
            #expect(!requests.contains { $0.path.contains("/uploads/u1") })
        }
    }

    @Test func aRegistryThatStillHoldsTheUploadIsAskedAgain() async throws {
        let busy = Times(2)
        try await goOn(
            registryAnswers: { request, _ in
                request.method == "GET" && request.path.contains("/uploads/") && busy.take() ? .json(409, "{}") : nil
            }
        ) { requests, _ in #expect(ranges(requests) == ["300000-699999"]) }
    }

    @Test func bytesThatMakeNoWholeAreSentAnew() async throws {
        let refused = Times(1)
        try await goOn(
            registryAnswers: { request, _ in
                // What it has of the earlier push is something else.
                request.method == "PUT" && request.target.contains("digest=") && request.bytes.isEmpty && refused.take()
                    ? .json(400, #"{"errors":[{"code":"DIGEST_INVALID"}]}"#) : nil
            }
        ) { requests, _ in
            #expect(ranges(requests) == ["300000-699999"])
            #expect(requests.contains { $0.method == "PUT" && $0.bytes.count == 700_000 })
        }
    }

    /// Whoever sends the same blob at the same time has an upload of its own, and the note stays with whose it is.
    @Test func twoAtOnceDoNotShareAnUpload() async throws {
        let held = Mutex<IngestNote?>(nil)
        try await goOn(
            leaves: 1,
            change: { store, _ in
                let note = try await store.note(try #require(try notes(store).first))
                held.withLock { $0 = note }
            }
        ) { requests, _ in
            #expect(ranges(requests) == [])
            #expect(requests.contains { $0.method == "PUT" && $0.bytes.count == 700_000 })
        }
        #expect(held.withLock { $0 } != nil)
    }

    /// Where the registry had told to send the bytes to is nobody any more.
    @Test func aPlaceThatIsGoneIsNoReasonToFail() async throws {
        try await goOn(change: { store, _ in
            let path = store.root.appending("ingest").appending(try #require(try notes(store).first))
            let text = String(decoding: try readFile(path), as: UTF8.self)
            let port = try freePort()
            try AtomicFile.write(
                Array(
                    text.replacing(#/"url":"http://127.0.0.1:[0-9]+/#, with: #""url":"http://127.0.0.1:\#(port)"#).utf8),
                to: path)
        }) { requests, _ in
            #expect(requests.contains { $0.method == "PUT" && $0.bytes.count == 700_000 })
        }
    }

    // MARK: - What is written down

    private let plain = Endpoint(
        host: "r.test:5000", name: "r.test:5000", repository: "a/b", security: .insecure, authority: nil,
        isMirror: false)

    private func read(_ text: String, at endpoint: Endpoint) throws -> UploadSession? {
        try JSONDecoder().decode(UploadNote.Record.self, from: Data(text.utf8)).session(at: endpoint)
    }

    @Test func aNoteLeadsOnlyToItsOwnRegistry() throws {
        var verified = plain
        verified.security = .verified
        func record(_ url: String, _ registry: String, _ smallest: Int = 0) -> String {
            #"{"registry":"\#(registry)","smallestChunk":\#(smallest),"url":"\#(url)"}"#
        }
        let good = record("https://r.test:5000/v2/a/b/blobs/uploads/x?_state=1", "https://r.test:5000", 5)
        let session = try #require(try read(good, at: verified))
        #expect(session.smallestChunk == 5 && session.offset == 0)
        #expect(UploadNote.Record(session) == UploadNote.Record(try #require(try read(good, at: plain))))
        // Registries may keep uploads elsewhere: then our password stays away from there.
        #expect(try read(record("https://store.test/x", "https://r.test:5000"), at: verified) != nil)
        #expect(try read(record("https://r.test:5000/x", "https://evil.test"), at: verified) == nil)
        #expect(try read(record("https://r.test:5000/x", "https://r.test:5001"), at: verified) == nil)
        #expect(try read(record("http://r.test:5000/x", "http://r.test:5000"), at: verified) == nil)
        #expect(try read(record("http://r.test:5000/x", "http://r.test:5000"), at: plain) != nil)
        #expect(try read(record("http://r.test:5000/x", "https://r.test:5000"), at: plain) == nil)
        #expect(try read(record("https://r.test:5000/x", "https://r.test:5000", -1), at: verified) == nil)
        #expect(try read(record("file:///etc/passwd", "https://r.test:5000"), at: verified) == nil)
        #expect(try read(record("/v2/x", "https://r.test:5000"), at: verified) == nil)
    }

    @Test func eachBlobInEachRepositoryHasItsOwn() {
        let blob = Descriptor(mediaType: "x/y", digest: .of(Data("1".utf8)), size: 1)
        let other = Descriptor(mediaType: "x/y", digest: .of(Data("2".utf8)), size: 1)
        var elsewhere = plain
        elsewhere.repository = "a/c"
        var host = plain
        host.host = "r.test:5001"
        let names = [
            UploadNote.name(of: blob, at: plain), UploadNote.name(of: other, at: plain),
            UploadNote.name(of: blob, at: elsewhere), UploadNote.name(of: blob, at: host),
        ]
        #expect(Set(names).count == 4)
        #expect(names.allSatisfy { $0.allSatisfy { $0.isHexDigit || ".upload".contains($0) } })
    }

    /// A file that a power cut left, or a stranger: the push begins anew and is done.
    @Test func whateverIsInTheFileThePushIsDone() async throws {
        var random = SeededGenerator(seed: 11)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        for number in 0..<30 {
            let scratch = try Scratch()
            let store = try await ImageStore.open(scratch.path)
            let image = try await StoredImage(in: store, layers: [Data(repeating: UInt8(number), count: 120_000)])
            let endpoint = try quickConfiguration().pushEndpoint(for: Reference("\(registry.host)/a/b\(number):v1"))
            var bytes = Array(
                #"{"registry":"http://\#(registry.host)","smallestChunk":0,"url":"http://\#(registry.host)/v2/a/b\#(number)/blobs/uploads/u999"}"#
                    .utf8)
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count * 2, using: &random)))
            let name = UploadNote.name(of: image.rootfsLayers[0], at: endpoint)
            try AtomicFile.write(bytes, to: store.root.appending("ingest").appending(name))
            _ = try await pushOnce(
                image.index, of: store, to: "\(registry.host)/a/b\(number):v1", configuration(attempts: 3))
            #expect(target.has(image.rootfsLayers[0].digest, in: "a/b\(number)"))
            #expect(try notes(store) == [])
        }
        try await registry.stop()
    }
}
