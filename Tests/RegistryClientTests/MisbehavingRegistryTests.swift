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

/// Whatever a registry does: a clear failure or the right bytes, never others.
@Suite struct MisbehavingRegistryTests {
    /// Runs a pull of `HOST/a/b:v1` against the handler.
    private func pull(
        _ configuration: RegistryConfiguration = quickConfiguration(),
        progress: any ProgressSink = SilentProgress(),
        _ handler: @escaping FakeRegistry.Handler
    ) async throws -> (result: Result<PulledImage, any Error>, requests: [FakeRegistry.Request], blobs: Int) {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let registry = try await FakeRegistry.start(handler)
        let client = RegistryClient(configuration: configuration, progress: progress)
        let puller = ImagePuller(client: client, store: store)
        let result: Result<PulledImage, any Error>
        do {
            result = .success(
                try await puller.pull(
                    Reference("\(registry.host)/a/b:v1"), platform: Platform("linux/amd64") ?? .current))
        } catch {
            result = .failure(error)
        }
        await client.close()
        try await registry.stop()
        for name in try Folder.names(in: scratch.path.appending("store/ingest")) {
            Issue.record("an unfinished blob was left behind: \(name)")
        }
        // Whatever got into the store must be what its name says.
        let folder = scratch.path.appending("store/blobs/sha256")
        let names = try Folder.names(in: folder)
        for name in names {
            #expect(Digest.of(try readFile(folder.appending(name))).hex == name)
        }
        return (result, registry.requests, names.count)
    }

    /// The failure of a pull, after checking that it names registry and image.
    private func failure(
        _ configuration: RegistryConfiguration = quickConfiguration(),
        _ handler: @escaping FakeRegistry.Handler
    ) async throws -> Failure {
        let outcome = try await pull(configuration, handler)
        guard case .failure(let error) = outcome.result else {
            throw Failure(.software, "the pull succeeded")
        }
        let failure = try #require(error as? Failure)
        #expect(failure.description.contains("127.0.0.1:"), "\(failure)")
        #expect(failure.description.contains("a/b"), "\(failure)")
        #expect(failure.description.utf8.allSatisfy { $0 == 0x0A || ($0 >= 0x20 && $0 != 0x7F) }, "\(failure)")
        return failure
    }

    @Test func aGoodOneIsPulled() async throws {
        let image = try SmallImage(layers: ["one", "two"])
        let outcome = try await pull { image.answer($0.path) ?? unknown }
        let pulled = try outcome.result.get()
        #expect(pulled.manifest.bytes == image.manifest)
        #expect(pulled.manifest.descriptor.platform == Platform("linux/amd64"))
        #expect(pulled.upstreamIndex == nil)
        #expect(outcome.blobs == 4)
        let manifestRequest = try #require(outcome.requests.first { $0.path.contains("/manifests/") })
        #expect(manifestRequest.headers["accept"]?.contains(MediaType.dockerManifestList) == true)
    }

    @Test func unknownImage() async throws {
        let failure = try await failure { _ in unknown }
        #expect(failure.kind == .notFound)
        #expect(failure.what.contains("404 (MANIFEST_UNKNOWN: no ?[31msuch)"))
        #expect(failure.remedy != nil)
    }

    @Test func unknownBlob() async throws {
        let image = try SmallImage(layers: ["one"])
        let failure = try await failure { $0.path.contains("/blobs/") ? unknown : image.answer($0.path) ?? unknown }
        #expect(failure.kind == .notFound)
    }

    @Test(arguments: [
        "garbage", "", "{", "[]", "null", #"{"schemaVersion":2}"#, #"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
    ])
    func garbageInsteadOfAManifest(_ text: String) async throws {
        let failure = try await failure { _ in .reply(200, ["Content-Type": MediaType.manifest], Array(text.utf8)) }
        #expect(failure.kind == .integrity)
    }

    @Test func htmlInsteadOfAManifest() async throws {
        let failure = try await failure { _ in
            .reply(200, ["Content-Type": "text/html; charset=utf-8"], Array("<html>".utf8))
        }
        #expect(failure.kind == .integrity)
        #expect(failure.what.contains("text/html"))
    }

    @Test func anIndexAnnouncedAsAManifest() async throws {
        let index = try canonicalJSON(ImageIndex(manifests: []))
        let failure = try await failure { _ in .reply(200, ["Content-Type": MediaType.manifest], Array(index)) }
        #expect(failure.kind == .integrity)
    }

    @Test func schemaOne() async throws {
        let failure = try await failure { _ in
            .reply(200, ["Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"], Array("{}".utf8))
        }
        #expect(failure.what.contains("schema 1"))
    }

    @Test func bytesThatAreNoHTTP() async throws {
        let failure = try await failure { _ in .raw(Array("SSH-2.0-OpenSSH\r\n\r\n".utf8)) }
        #expect(failure.kind == .integrity || failure.kind == .unreachable, "\(failure)")
    }

    @Test func aManifestThatIsTooLarge() async throws {
        let failure = try await failure { _ in
            .reply(
                200, ["Content-Type": MediaType.manifest], [UInt8](repeating: 0x20, count: Int(Document.sizeLimit) + 1))
        }
        #expect(failure.kind == .integrity)
        #expect(failure.what.contains("larger"))
    }

    @Test func anAnnouncedDigestThatDiffers() async throws {
        let image = try SmallImage(layers: ["one"])
        let failure = try await failure { _ in
            .reply(
                200,
                ["Content-Type": MediaType.manifest, "Docker-Content-Digest": "\(Digest.of(Data("other".utf8)))"],
                Array(image.manifest)
            )
        }
        #expect(failure.kind == .integrity)
    }

    @Test func aManifestOfAnotherDigestThanAskedFor() async throws {
        let image = try SmallImage(layers: ["one"])
        let registry = try await FakeRegistry.start { _ in
            .reply(200, ["Content-Type": MediaType.manifest], Array(image.manifest))
        }
        let client = RegistryClient(configuration: quickConfiguration())
        let asked = Digest.of(Data("asked".utf8))
        let error = await #expect(throws: Failure.self) {
            try await client.resolve(Reference("\(registry.host)/a/b:v1@\(asked)"))
        }
        #expect(error?.kind == .integrity)
        #expect(registry.requests.last?.path == "/v2/a/b/manifests/\(asked)")
        await client.close()
        try await registry.stop()
    }

    @Test func aBlobWithOtherBytesOfTheSameLength() async throws {
        let image = try SmallImage(layers: ["one"])
        let failure = try await failure {
            $0.path.hasSuffix("\(Digest.of(Data("one".utf8)))")
                ? .reply(200, [:], Array("two".utf8)) : image.answer($0.path) ?? unknown
        }
        #expect(failure.kind == .integrity)
        #expect(failure.what.contains("\(Digest.of(Data("one".utf8)))"))
    }

    @Test(arguments: ["on", "ones", ""])
    func aBlobOfAnotherLength(_ content: String) async throws {
        let image = try SmallImage(layers: ["one"])
        let layer = "\(Digest.of(Data("one".utf8)))"
        let framed = try await failure {
            $0.path.hasSuffix(layer) ? .reply(200, [:], Array(content.utf8)) : image.answer($0.path) ?? unknown
        }
        #expect(framed.kind == .integrity)
        let unframed = try await failure {
            $0.path.hasSuffix(layer) ? .unframed(Array(content.utf8)) : image.answer($0.path) ?? unknown
        }
        #expect(unframed.kind == (content.utf8.count > 3 ? .integrity : .unreachable))
    }

    @Test func aBlobThatIsCutOffIsAskedForAgain() async throws {
        let image = try SmallImage(layers: ["one"])
        let layer = "\(Digest.of(Data("one".utf8)))"
        let cuts = Mutex(0)
        let outcome = try await pull { request in
            guard request.path.hasSuffix(layer) else { return image.answer(request.path) ?? unknown }
            let count = cuts.withLock { cuts in
                cuts += 1
                return cuts
            }
            return count < 3 ? .cut(Array("on".utf8), length: 3) : image.answer(request.path) ?? unknown
        }
        _ = try outcome.result.get()
        #expect(cuts.withLock { $0 } == 3)
    }

    @Test func aBlobThatIsAlwaysCutOff() async throws {
        let image = try SmallImage(layers: ["one"])
        let layer = "\(Digest.of(Data("one".utf8)))"
        let outcome = try await pull {
            $0.path.hasSuffix(layer) ? .cut(Array("on".utf8), length: 3) : image.answer($0.path) ?? unknown
        }
        guard case .failure(let error) = outcome.result, let failure = error as? Failure else {
            Issue.record("the pull succeeded")
            return
        }
        #expect(failure.kind == .unreachable, "\(failure)")
        #expect(outcome.requests.count { $0.path.hasSuffix(layer) } == 3)
    }

    @Test func stalls() async throws {
        let image = try SmallImage(layers: ["one"])
        let layer = "\(Digest.of(Data("one".utf8)))"
        var configuration = quickConfiguration()
        configuration.limits.stall = .milliseconds(300)
        configuration.limits.attempts = 1
        let blob = try await failure(configuration) {
            $0.path.hasSuffix(layer) ? .stall(Array("o".utf8), length: 3) : image.answer($0.path) ?? unknown
        }
        #expect(blob.kind == .timeout)
        #expect(blob.what.contains("stalled"))
        let manifest = try await failure(configuration) { _ in .stall(Array("{".utf8), length: 1000) }
        #expect(manifest.kind == .timeout)
        configuration.limits.head = .milliseconds(300)
        let head = try await failure(configuration) { _ in .silence }
        #expect(head.kind == .timeout)
    }

    @Test func anOverloadedOneIsAskedAgain() async throws {
        let image = try SmallImage(layers: ["one"])
        let asked = Mutex(0)
        let outcome = try await pull { request in
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            return count < 3
                ? .json(count == 1 ? 429 : 503, "{}", ["Retry-After": "0"]) : image.answer(request.path) ?? unknown
        }
        _ = try outcome.result.get()
        let always = try await failure { _ in .json(503, "{}", ["Retry-After": "99999999999999999999"]) }
        #expect(always.kind == .unreachable)
        #expect(always.what.contains("503"))
        #expect(always.what.contains("3 times"))
    }

    /// An insecure one has no TLS, so https fails first; that must not hide that http is worth another attempt.
    @Test func aPlainOneThatClosesForAMomentIsAskedAgain() async throws {
        let image = try SmallImage(layers: ["one"])
        let asked = Mutex(0)
        let outcome = try await pull { request in
            let isFirst = asked.withLock { asked in
                asked += 1
                return asked == 1
            }
            return isFirst ? .raw([]) : image.answer(request.path) ?? unknown
        }
        _ = try outcome.result.get()
    }

    @Test func nobodyThere() async throws {
        let registry = try await FakeRegistry.start { _ in unknown }
        try await registry.stop()
        let client = RegistryClient(configuration: quickConfiguration())
        let error = await #expect(throws: Failure.self) { try await client.resolve(Reference("\(registry.host)/a/b")) }
        #expect(error?.kind == .unreachable)
        #expect(error?.description.lowercased().contains("connection refused") == true, "\(error?.description ?? "")")
        await client.close()
    }

    @Test func anotherPlatform() async throws {
        let image = try SmallImage(layers: ["one"], architecture: "riscv64")
        let single = try await failure { image.answer($0.path) ?? unknown }
        #expect(single.kind == .notFound)
        var entry = image.descriptor
        entry.platform = Platform("linux/riscv64")
        let index = try canonicalJSON(ImageIndex(manifests: [entry]))
        let listed = try await failure {
            $0.path.hasSuffix("/v1")
                ? .reply(200, ["Content-Type": MediaType.index], Array(index)) : image.answer($0.path) ?? unknown
        }
        #expect(listed.kind == .notFound)
        #expect(listed.what.contains("linux/riscv64"))
    }

    @Test func anIndexLeadsToThePlatformsManifest() async throws {
        let image = try SmallImage(layers: ["one"])
        var other = image.descriptor
        other.digest = .of(Data("elsewhere".utf8))
        other.platform = Platform("linux/arm64")
        var entry = image.descriptor
        entry.platform = Platform("linux/amd64")
        let index = try canonicalJSON(ImageIndex(manifests: [other, entry]))
        let outcome = try await pull {
            $0.path.hasSuffix("/v1")
                ? .reply(200, ["Content-Type": MediaType.index], Array(index)) : image.answer($0.path) ?? unknown
        }
        let pulled = try outcome.result.get()
        #expect(pulled.upstreamIndex?.bytes == index)
        #expect(pulled.manifest.bytes == image.manifest)
        #expect(outcome.blobs == 4)
    }

    @Test func aManifestWithAnImpossibleSize() async throws {
        let image = try SmallImage(layers: ["one"])
        let text = String(decoding: image.manifest, as: UTF8.self).replacing(
            "\"size\":3", with: "\"size\":9223372036854775807")
        let failure = try await failure {
            $0.path.contains("/manifests/")
                ? .reply(200, ["Content-Type": MediaType.manifest], Array(text.utf8)) : image.answer($0.path) ?? unknown
        }
        #expect(failure.kind == .integrity)
    }
}
