import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

/// A manifest about another one, as signatures and bills of materials are.
private struct Referrer: Encodable {
    var schemaVersion = 2
    var mediaType = MediaType.manifest
    var artifactType: String?
    var config: Descriptor
    var layers: [Descriptor] = []
    var subject: Descriptor
    var annotations: [String: String]?

    /// Puts it into a store.
    static func put(
        _ type: String?, about subject: Descriptor, of text: String, in store: ImageStore
    ) async throws -> Descriptor {
        let empty = try await store.put(Data("{}".utf8), mediaType: MediaType.empty)
        return try await store.put(
            canonicalJSON(
                Referrer(artifactType: type, config: empty, subject: subject, annotations: ["text": text])),
            mediaType: MediaType.manifest)
    }
}

/// What a push does for registries without the referrers API.
@Suite struct ReferrerListTests {
    private let subject = Descriptor(mediaType: MediaType.manifest, digest: .of(Data("subject".utf8)), size: 7)
    private var tag: String { "sha256-\(subject.digest.hex)" }

    private func old(lost: Int = 0) -> FakePushTarget {
        var faults = FakePushTarget.Faults()
        faults.hasReferrers = false
        faults.lostLists = lost
        return FakePushTarget(faults)
    }

    private func list(_ target: FakePushTarget, _ tag: String? = nil) throws -> [Descriptor] {
        let bytes = Data(try #require(target.manifest(tag ?? self.tag, in: "a/b")))
        guard case .index(let index) = try Document(bytes, mediaType: MediaType.index) else { return [] }
        return index.manifests
    }

    private func entry(_ referrer: Descriptor, _ type: String, _ text: String) -> Descriptor {
        var entry = referrer
        entry.artifactType = type
        entry.annotations = ["text": text]
        return entry
    }

    @Test func aRegistryThatKeepsListsIsLeftToIt() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let referrer = try await Referrer.put("application/x.sbom", about: subject, of: "a", in: store)
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        for _ in 0..<2 { _ = try await pushOnce(referrer, of: store, to: "\(registry.host)/a/b:sbom") }
        #expect(target.events.filter { $0.hasPrefix("manifest") } == ["manifest a/b sbom"])
        #expect(target.manifest(tag, in: "a/b") == nil)
        try await registry.stop()
    }

    @Test func theListIsBegunAndContinued() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = old()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let first = try await Referrer.put("application/x.sbom", about: subject, of: "a", in: store)
        _ = try await pushOnce(first, of: store, to: "\(registry.host)/a/b:sbom")
        #expect(try list(target) == [entry(first, "application/x.sbom", "a")])
        // Without a type of its own its configuration's counts.
        let second = try await Referrer.put(nil, about: subject, of: "b", in: store)
        _ = try await pushOnce(second, of: store, to: "\(registry.host)/a/b@\(second.digest)")
        #expect(
            try list(target) == [entry(first, "application/x.sbom", "a"), entry(second, MediaType.empty, "b")])
        // Each once, and nothing is sent when all is there.
        target.forgetEvents()
        _ = try await pushOnce(first, of: store, to: "\(registry.host)/a/b:sbom")
        #expect(target.events.isEmpty)
        #expect(try list(target).count == 2)
        try await registry.stop()
    }

    /// A push that ended between the manifest and the list: the next one makes it good.
    @Test func whatAnEarlierPushLeftOutIsAdded() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = old()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let referrer = try await Referrer.put("application/x.sbom", about: subject, of: "a", in: store)
        target.put(Data("{}".utf8), in: "a/b")
        target.putManifest(try await store.bytes(of: referrer), as: "\(referrer.digest)", in: "a/b")
        target.putManifest(try await store.bytes(of: referrer), as: "sbom", in: "a/b")
        _ = try await pushOnce(referrer, of: store, to: "\(registry.host)/a/b:sbom")
        #expect(target.events == ["manifest a/b \(tag)"])
        #expect(try list(target).map(\.digest) == [referrer.digest])
        try await registry.stop()
    }

    /// Members of one index that are about the same image: one push, one list.
    @Test func manyAtOnce() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = old()
        let registry = try await FakeRegistry.start { target.answer($0) }
        var referrers: [Descriptor] = []
        for number in 0..<12 {
            referrers.append(try await Referrer.put("application/x", about: subject, of: "\(number)", in: store))
        }
        let index = try await store.put(
            canonicalJSON(ImageIndex(manifests: referrers)), mediaType: MediaType.index)
        let client = RegistryClient(configuration: quickConfiguration())
        let pusher = ImagePusher(client: client, store: store)
        _ = try await pusher.push(index, to: Reference("\(registry.host)/a/b:all"))
        #expect(Set(try list(target).map(\.digest)) == Set(referrers.map(\.digest)))
        #expect(try list(target).count == 12)
        await client.close()
        try await registry.stop()
    }

    /// What others wrote stays as it is, with members that we do not know.
    @Test func foreignEntriesStayByteForByte() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = old()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let referrer = try await Referrer.put("application/x.sbom", about: subject, of: "a", in: store)
        let known = Data("known".utf8)
        let theirs =
            #"{ "digest" : "\#(Digest.of(known))", "mediaType":"\#(MediaType.manifest)","size":5, "x.new": [1e2, "]"] }"#
        let text =
            #"{"annotations":{"a":"b"}, "schemaVersion":2,"mediaType":"\#(MediaType.index)","manifests": [ \#(theirs) ],"x":0.10}"#
        target.putManifest(Data(text.utf8), as: tag, in: "a/b")
        target.putManifest(known, as: "\(Digest.of(known))", in: "a/b")
        _ = try await pushOnce(referrer, of: store, to: "\(registry.host)/a/b:sbom")
        let now = String(decoding: try #require(target.manifest(tag, in: "a/b")), as: UTF8.self)
        for piece in [theirs, #"{"a":"b"}"#, "0.10"] { #expect(now.contains(piece), "\(now)") }
        #expect(try list(target).map(\.digest) == [.of(known), referrer.digest])
        // An empty list too.
        target.putManifest(
            Data(#"{"schemaVersion":2,"mediaType":"\#(MediaType.index)","manifests":[ ]}"#.utf8), as: tag, in: "a/b")
        _ = try await pushOnce(referrer, of: store, to: "\(registry.host)/a/b:sbom")
        #expect(try list(target).map(\.digest) == [referrer.digest])
        try await registry.stop()
    }

    @Test(arguments: ["a manifest", #"{"schemaVersion":2,"manifests":7}"#, "[]"])
    func aTagThatIsNoListIsNotOverwritten(_ text: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = old()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let referrer = try await Referrer.put("application/x.sbom", about: subject, of: "a", in: store)
        let other = try await StoredImage(in: store, layers: [Data("one".utf8)])
        let bytes = text == "a manifest" ? try await store.bytes(of: other.rootfs) : Data(text.utf8)
        target.putManifest(bytes, as: tag, in: "a/b")
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(referrer, of: store, to: "\(registry.host)/a/b:sbom")
        }
        #expect(error?.kind == .conflict)
        #expect(error?.what.contains(tag) == true)
        #expect(target.manifest(tag, in: "a/b") == Array(bytes))
        try await registry.stop()
    }

    @Test func aListThatOthersWriteOverIsWrittenAgain() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = old(lost: 2)
        let registry = try await FakeRegistry.start { target.answer($0) }
        let referrer = try await Referrer.put("application/x.sbom", about: subject, of: "a", in: store)
        _ = try await pushOnce(referrer, of: store, to: "\(registry.host)/a/b:sbom")
        #expect(try list(target).map(\.digest) == [referrer.digest])
        #expect(target.events.filter { $0.hasSuffix(tag) }.count == 3)
        try await registry.stop()

        let hopeless = old(lost: 1000)
        let second = try await FakeRegistry.start { hopeless.answer($0) }
        let error = await #expect(throws: Failure.self) {
            try await pushOnce(referrer, of: store, to: "\(second.host)/a/b:sbom")
        }
        #expect(error?.kind == .conflict)
        #expect(hopeless.events.filter { $0.hasSuffix(tag) }.count == 5)
        try await second.stop()
    }

    /// An index may have a subject too; Docker's manifests have none, whatever is written in them.
    @Test func whatHasASubject() async throws {
        struct About: Encodable {
            var schemaVersion = 2
            var mediaType: String
            var artifactType = "application/x.index"
            var manifests: [Descriptor]
            var subject: Descriptor
        }
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let target = old()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let image = try await StoredImage(in: store, layers: [Data("one".utf8)])
        let long = Descriptor(
            mediaType: MediaType.manifest, digest: .of(Data("subject".utf8), .sha512), size: 7)
        let index = try await store.put(
            canonicalJSON(About(mediaType: MediaType.index, manifests: [image.rootfs], subject: long)),
            mediaType: MediaType.index)
        _ = try await pushOnce(index, of: store, to: "\(registry.host)/a/b:index")
        let tag = "sha512-\(long.digest.hex.prefix(64))"
        #expect(try list(target, tag).map(\.artifactType) == ["application/x.index"])
        let docker = try await store.put(
            canonicalJSON(
                About(mediaType: MediaType.dockerManifestList, manifests: [image.rootfs], subject: subject)),
            mediaType: MediaType.dockerManifestList)
        _ = try await pushOnce(docker, of: store, to: "\(registry.host)/a/b:docker")
        #expect(target.manifest(self.tag, in: "a/b") == nil)
        try await registry.stop()
    }
}
