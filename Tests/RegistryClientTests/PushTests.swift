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

/// A push brings what the target lacks, in the right order, whatever happens on the way.
@Suite struct PushTests {
    // MARK: - What goes, and in what order

    @Test func everythingGoesOnceAndTheNameComesLast() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [randomBytes(5000, seed: 1), Data("two".utf8)])
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let pushed = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        let events = target.events
        #expect(Set(events.prefix(5)) == Set(image.blobs.map { "blob a/b \($0.digest.hex)" }))
        #expect(
            Set(events.dropFirst(5).prefix(2))
                == ["manifest a/b \(image.rootfs.digest)", "manifest a/b \(image.member.digest)"])
        #expect(events.dropFirst(7) == ["manifest a/b v1"])
        #expect(target.manifest("v1", in: "a/b").map { Digest.of(Data($0)) } == image.index.digest)
        #expect(Set(pushed.sentBlobs.map(\.digest)) == Set(image.blobs.map(\.digest)))
        #expect(pushed.sentDocuments == 3)
        #expect(pushed.sentBytes == pushed.totalBytes)
        // Every blob was asked for first.
        for blob in image.blobs {
            let first = registry.requests.first { $0.target.contains(blob.digest.hex) }
            #expect(first?.method == "HEAD")
        }
        try await registry.stop()
    }

    @Test func afterAChangeOfOneLayerThatLayerAndTheManifestsGo() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layers = [randomBytes(5000, seed: 1), Data("two".utf8), Data("three".utf8)]
        let before = try await StoredImage(in: store, layers: layers)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        _ = try await pushOnce(before.index, of: store, to: "\(registry.host)/a/b:v1")
        target.forgetEvents()
        let after = try await StoredImage(in: store, layers: [layers[0], Data("changed".utf8), layers[2]])
        let pushed = try await pushOnce(after.index, of: store, to: "\(registry.host)/a/b:v2")
        let changed = [after.rootfsLayers[1], after.configs[0]]
        #expect(Set(target.events.prefix(2)) == Set(changed.map { "blob a/b \($0.digest.hex)" }))
        #expect(target.events.dropFirst(2) == ["manifest a/b \(after.rootfs.digest)", "manifest a/b v2"])
        #expect(
            pushed.sentBytes == changed.reduce(0) { $0 + $1.size } + after.rootfs.size + after.index.size)
        #expect(pushed.presentBlobs == 4)
        #expect(pushed.presentBytes + pushed.sentBytes == pushed.totalBytes)

        // And nothing at all when everything is there.
        target.forgetEvents()
        let again = try await pushOnce(after.index, of: store, to: "\(registry.host)/a/b:v2")
        #expect(target.events.isEmpty)
        #expect(again.sentBytes == 0)
        #expect(again.presentBytes == again.totalBytes)
        try await registry.stop()
    }

    /// The image is listed beside an index and inside it: it must be there before both.
    @Test func whoIsReferredToComesBeforeWhoRefers() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        let outer = try await store.put(
            canonicalJSON(ImageIndex(manifests: [image.index, image.rootfs, image.member])), mediaType: MediaType.index)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let pushed = try await pushOnce(outer, of: store, to: "\(registry.host)/a/b:v1")
        let documents = target.events.filter { $0.hasPrefix("manifest") }
        #expect(
            Set(documents.prefix(2)) == ["manifest a/b \(image.rootfs.digest)", "manifest a/b \(image.member.digest)"])
        #expect(documents.dropFirst(2) == ["manifest a/b \(image.index.digest)", "manifest a/b v1"])
        #expect(pushed.sentDocuments == 4)
        try await registry.stop()
    }

    @Test func progressIsInBytesAndEndsAtTheTotal() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [randomBytes(700_000, seed: 1)])
        let cut = Times(1)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start(
            cutAfter: { $0.headers["content-length"] == "700000" && cut.take() ? 300_000 : nil }
        ) { target.answer($0) }
        let sink = Advances()
        let pushed = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1", progress: sink)
        let last = try #require(sink.all.last)
        #expect(last.completed == pushed.totalBytes)
        #expect(last.total == pushed.totalBytes)
        #expect(sink.areWithinTotal)
        try await registry.stop()
    }

    /// The body of an attempt that has ended is read on for a moment: what it reads counts for nothing.
    @Test func aBodyThatIsNotTheLastOneDoesNotCount() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let blob = try await store.put(randomBytes(2 << 20, seed: 1), mediaType: MediaType.layer)
        let shown = Mutex<Int64>(0)
        let upload = Upload(try await BlobReader(blob, in: store)) { count in shown.withLock { $0 += count } }
        var cut = upload.slice(from: 0, count: blob.size).makeAsyncIterator()
        _ = try await cut.next()
        _ = try await cut.next()
        #expect(shown.withLock { $0 } == 512 << 10)
        // The connection broke; the registry has less than was sent.
        upload.show(1000)
        _ = try await cut.next()
        #expect(shown.withLock { $0 } == 1000)
        var rest = upload.slice(from: 1000, count: blob.size - 1000).makeAsyncIterator()
        while try await rest.next() != nil {}
        _ = try await cut.next()
        #expect(shown.withLock { $0 } == blob.size)
    }

    @Test func anImageThatIsNotWholeIsNotBegun() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        try Folder.delete(store.path(of: image.rootfsLayers[0].digest))
        let registry = try await FakeRegistry.start { _ in .json(500, "{}") }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .notFound)
        #expect(error?.description.contains("\(image.rootfsLayers[0].digest)") == true)
        #expect(registry.requests.isEmpty)
        let other = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b@\(image.member.digest)")
        }
        #expect(other?.kind == .usage)
        try await registry.stop()
    }

    // MARK: - Mounts

    @Test func whatAnotherRepositoryHasIsMounted() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let image = try await StoredImage(
            in: store, layers: [Data("base".utf8), Data("own".utf8)], member: "\(registry.host)/lib/app:1")
        target.put(try await store.bytes(of: image.memberLayer), in: "lib/app")
        target.put(Data("base".utf8), in: "lib/base")
        let pushed = try await pushOnce(
            image.index, of: store, to: "\(registry.host)/a/b:v1",
            sources: ["\(registry.host)/lib/base:1", "elsewhere.test/lib/base:1"])
        #expect(target.events.filter { $0.hasPrefix("mount") }.count == 2)
        #expect(pushed.mountedBlobs == 2)
        #expect(pushed.mountedBytes == image.memberLayer.size + 4)
        #expect(!pushed.sentBlobs.contains(image.memberLayer))
        #expect(pushed.sentBytes + pushed.mountedBytes == pushed.totalBytes)
        #expect(!registry.requests.contains { $0.target.contains("elsewhere") })
        try await registry.stop()
    }

    @Test(arguments: [202, 401, 403, 404, 405])
    func aMountThatIsRefusedIsAnUpload(_ status: Int) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        var faults = FakePushTarget.Faults()
        faults.mountStatus = status
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start { target.answer($0) }
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)], member: "\(registry.host)/lib/app:1")
        let pushed = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        #expect(pushed.mountedBlobs == 0)
        #expect(pushed.sentBlobs.count == image.blobs.count)
        // What a refusal began is used.
        let mounts = registry.requests.filter { $0.target.contains("mount=") }
        let begun = registry.requests.filter { $0.method == "POST" && !$0.target.contains("mount=") }
        #expect(mounts.count == 2)
        #expect(begun.count == (status == 202 ? image.blobs.count - 2 : image.blobs.count))
        try await registry.stop()
    }

    @Test func whatOneImageBroughtTheNextOneMounts() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let client = RegistryClient(configuration: quickConfiguration())
        let pusher = ImagePusher(client: client, store: store)
        _ = try await pusher.push(image.index, to: Reference("\(registry.host)/a/b:v1"))
        let second = try await pusher.push(image.index, to: Reference("\(registry.host)/c/d:v1"))
        #expect(second.mountedBlobs == image.blobs.count)
        #expect(second.sentBlobs.isEmpty)
        await client.close()
        try await registry.stop()
    }

    // MARK: - Who gets to see what

    @Test func credentialsDoNotFollowAnUploadToAnotherHost() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [randomBytes(250_000, seed: 1)])
        let target = Mutex<FakePushTarget?>(nil)
        let elsewhere = try await FakeRegistry.start { request in target.withLock { $0 }?.answer(request) ?? unknown }
        var faults = FakePushTarget.Faults()
        faults.uploadPrefix = "http://localhost:\(elsewhere.port)/moved"
        let taker = FakePushTarget(faults)
        target.withLock { $0 = taker }
        let secret = "Basic " + Data("u:p".utf8).base64EncodedString()
        let registry = try await FakeRegistry.start { request in
            request.headers["authorization"] == secret
                ? taker.answer(request) : .json(401, "{}", ["WWW-Authenticate": "Basic realm=x"])
        }
        var configuration = configuration(chunk: 100_000)
        configuration.credentials.set(.password(user: "u", password: "p"), for: registry.host)
        _ = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1", configuration)
        #expect(elsewhere.requests.contains { $0.method == "PATCH" })
        #expect(elsewhere.requests.contains { $0.method == "PUT" })
        #expect(elsewhere.requests.allSatisfy { $0.headers["authorization"] == nil })
        #expect(registry.requests.allSatisfy { !$0.path.contains("/uploads/u") })
        try await registry.stop()
        try await elsewhere.stop()
    }

    @Test(arguments: ["file:///etc/passwd", "ftp://x/", "http://u:p@127.0.0.1/"])
    func anUploadToNoAddress(_ prefix: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        var faults = FakePushTarget.Faults()
        faults.uploadPrefix = prefix
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start { target.answer($0) }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        try await registry.stop()
    }

    @Test func tokensAreAskedForPushingAndForTheMountedRepository() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { request in
            if request.path == "/token" {
                let number = request.target.contains("lib%2Fapp") ? "mount" : "push"
                return .json(200, #"{"token":"\#(number)"}"#)
            }
            let sent = request.headers["authorization"]
            let wanted = request.target.contains("mount=") ? "Bearer mount" : "Bearer push"
            guard sent == wanted else {
                let host = request.headers["host"] ?? ""
                let challenge = #"Bearer realm="http://\#(host)/token",service="s",scope="repository:a/b:pull""#
                return .json(401, "{}", ["WWW-Authenticate": challenge])
            }
            return target.answer(request)
        }
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)], member: "\(registry.host)/lib/app:1")
        target.put(try await store.bytes(of: image.memberLayer), in: "lib/app")
        let pushed = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        #expect(pushed.mountedBlobs == 1)
        let tokens = Set(registry.requests.filter { $0.path == "/token" }.map(\.target))
        #expect(
            tokens == [
                "/token?scope=repository%3Aa%2Fb%3Apull%2Cpush&service=s",
                "/token?scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Alib%2Fapp%3Apull&service=s",
            ])
        try await registry.stop()
    }

    @Test func aPushThatIsNotAllowed() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        let registry = try await FakeRegistry.start { request in
            request.method == "HEAD" ? .reply(404, [:], []) : .json(403, #"{"errors":[{"code":"DENIED"}]}"#)
        }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .denied)
        #expect(error?.what.contains("DENIED") == true)
        try await registry.stop()
    }

    // MARK: - What the registry says it took

    @Test func anotherDigestThanWasSent() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        var faults = FakePushTarget.Faults()
        faults.announcedDigest = .of(Data("other".utf8))
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start { target.answer($0) }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        try await registry.stop()
    }

    @Test func aNameThatStandsForSomethingElseInTheEnd() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        var faults = FakePushTarget.Faults()
        faults.tagDigest = .of(Data("other".utf8))
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start { target.answer($0) }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        #expect(error?.what.contains("stands for") == true)
        try await registry.stop()
    }

    @Test func blobsOfTheStoreThatChangedAreRefusedByTheRegistry() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        try AtomicFile.write(Array("two".utf8), to: store.path(of: image.rootfsLayers[0].digest))
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        #expect(target.manifest("v1", in: "a/b") == nil)
        try await registry.stop()
    }
}
