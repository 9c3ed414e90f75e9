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

/// An upload that breaks goes on, and one that a registry does not take in one way goes another way.
@Suite struct UploadTests {
    @Test func aCutConnectionCostsOnlyWhatWasOnTheWay() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layer = randomBytes(700_000, seed: 1)
        let image = try await StoredImage(in: store, layers: [layer])
        let cut = Times(1)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start(
            cutAfter: { $0.headers["content-length"] == "700000" && cut.take() ? 300_000 : nil }
        ) { target.answer($0) }
        _ = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        #expect(target.has(.of(layer), in: "a/b"))
        let patches = registry.requests.filter { $0.method == "PATCH" }
        #expect(patches.map { $0.headers["content-range"] } == ["300000-699999"])
        #expect(registry.requests.filter { $0.method == "GET" && $0.path.contains("/uploads/") }.count == 1)
        try await registry.stop()
    }

    @Test func largeBlobsGoInChunksAndAChunkThatBreaksGoesOn() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layer = randomBytes(250_000, seed: 1)
        let image = try await StoredImage(in: store, layers: [layer])
        let cut = Times(1)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start(
            cutAfter: { $0.headers["content-range"] == "100000-199999" && cut.take() ? 40_000 : nil }
        ) { target.answer($0) }
        _ = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1", configuration(chunk: 100_000))
        #expect(target.has(.of(layer), in: "a/b"))
        let patches = registry.requests.filter { $0.method == "PATCH" }
        #expect(
            patches.map { $0.headers["content-range"] }
                == ["0-99999", "100000-199999", "140000-239999", "240000-249999"])
        try await registry.stop()
    }

    @Test func whatARegistryForgotIsSentAnew() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layer = randomBytes(250_000, seed: 1)
        let image = try await StoredImage(in: store, layers: [layer])
        let cut = Times(1)
        var faults = FakePushTarget.Faults()
        faults.forgetsUploads = true
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start(
            cutAfter: { $0.headers["content-range"] == "100000-199999" && cut.take() ? 40_000 : nil }
        ) { target.answer($0) }
        _ = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1", configuration(chunk: 100_000))
        #expect(target.has(.of(layer), in: "a/b"))
        try await registry.stop()
    }

    @Test func aConnectionThatAlwaysBreaksIsAFailure() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [randomBytes(250_000, seed: 1)])
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start(
            cutAfter: { ["PATCH", "PUT"].contains($0.method) && $0.headers["content-length"] != "0" ? 0 : nil }
        ) { target.answer($0) }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1", configuration(chunk: 100_000))
        }
        #expect(error?.kind == .unreachable)
        #expect(error?.what.contains("a/b:v1") == true)
        #expect(error?.place?.contains("127.0.0.1") == true)
        #expect(target.manifest("v1", in: "a/b") == nil)
        #expect(registry.requests.count < 100)
        try await registry.stop()
    }

    @Test(arguments: [405, 404, 400, 416, 501])
    func aRegistryThatTakesNoChunksGetsItWhole(_ status: Int) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layers = [randomBytes(250_000, seed: 1), randomBytes(240_000, seed: 2)]
        let image = try await StoredImage(in: store, layers: layers)
        var faults = FakePushTarget.Faults()
        faults.chunkStatus = status
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start { target.answer($0) }
        let client = RegistryClient(configuration: configuration(chunk: 100_000))
        let pusher = ImagePusher(client: client, store: store, concurrency: 1)
        _ = try await pusher.push(image.index, to: Reference("\(registry.host)/a/b:v1"))
        await client.close()
        for layer in layers { #expect(target.has(.of(layer), in: "a/b")) }
        // The second one is not even tried in chunks.
        #expect(registry.requests.count { $0.method == "PATCH" } == 1)
        try await registry.stop()
    }

    @Test func whatWentInVainDoesNotCount() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [randomBytes(250_000, seed: 1)])
        let target = FakePushTarget(.init(chunkStatus: 405))
        let registry = try await FakeRegistry.start { target.answer($0) }
        let advances = Advances()
        _ = try await pushOnce(
            image.index, of: store, to: "\(registry.host)/a/b:v1", configuration(chunk: 100_000), progress: advances)
        #expect(!advances.all.isEmpty && advances.areWithinTotal)
        try await registry.stop()
    }

    @Test func theSmallestChunkOfTheRegistryCounts() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [randomBytes(250_000, seed: 1)])
        var faults = FakePushTarget.Faults()
        faults.smallestChunk = 200_000
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start { target.answer($0) }
        _ = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1", configuration(chunk: 10_000))
        #expect(
            registry.requests.filter { $0.method == "PATCH" }.map { $0.headers["content-range"] }
                == ["0-199999", "200000-249999"])
        try await registry.stop()
    }

    @Test func aBusyRegistryIsAskedAgain() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        var faults = FakePushTarget.Faults()
        faults.busy = 1
        let target = FakePushTarget(faults)
        let registry = try await FakeRegistry.start { target.answer($0) }
        _ = try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1")
        #expect(target.manifest("v1", in: "a/b") != nil)
        try await registry.stop()
    }

    @Test func aRegistryThatNeverAnswersIsNotWaitedForForEver() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { $0.method == "PUT" ? .silence : target.answer($0) }
        var configuration = quickConfiguration()
        configuration.limits.attempts = 1
        configuration.limits.stall = .milliseconds(400)
        configuration.limits.uploadAnswer = .milliseconds(400)
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(image.index, of: store, to: "\(registry.host)/a/b:v1", configuration)
        }
        #expect(error?.kind == .timeout)
        #expect(error?.what.contains("stalled") == true)
        try await registry.stop()
    }

    @Test func aTokenThatRunsOutInTheMiddleIsReplaced() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layer = randomBytes(250_000, seed: 1)
        let image = try await StoredImage(in: store, layers: [layer])
        let target = FakePushTarget()
        let current = Mutex(1)
        let registry = try await FakeRegistry.start { request in
            let number = current.withLock { $0 }
            if request.path == "/token" { return .json(200, #"{"token":"t\#(number)"}"#) }
            guard request.headers["authorization"] == "Bearer t\(number)" else {
                let realm = #"Bearer realm="http://\#(request.headers["host"] ?? "")/token""#
                return .json(401, "{}", ["WWW-Authenticate": realm])
            }
            // After each chunk only a new token holds.
            if request.method == "PATCH" { current.withLock { $0 += 1 } }
            return target.answer(request)
        }
        let client = RegistryClient(configuration: configuration(chunk: 100_000))
        let pusher = ImagePusher(client: client, store: store, concurrency: 1)
        _ = try await pusher.push(image.index, to: Reference("\(registry.host)/a/b:v1"))
        await client.close()
        #expect(target.has(.of(layer), in: "a/b"))
        try await registry.stop()
    }
}
