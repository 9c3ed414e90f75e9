import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

/// A manifest about another one.
struct Referrer: Encodable {
    var schemaVersion = 2
    var mediaType = MediaType.manifest
    var artifactType: String?
    var config: Descriptor
    var layers: [Descriptor] = []
    var subject: Descriptor
    var annotations: [String: String]?
}

@Suite struct ReferrerTests {
    @Test func referrersAreListedAndKept() async throws {
        try await pushing { pusher in
            let (subject, _) = try await pusher.image("subject", to: "app", as: "v1")
            let none = try await pusher.request("GET", "/v2/app/referrers/\(subject.digest)")
            #expect(none.status == 200)
            #expect(none.headers["content-type"] == MediaType.index)
            #expect(try JSONDecoder().decode(ImageIndex.self, from: none.body).manifests.isEmpty)
            let empty = try await pusher.blob(Data("{}".utf8), to: "app", type: MediaType.empty)
            var pushed: [Descriptor] = []
            for (type, text) in [("application/x.signature", "a"), ("application/x.sbom", "b"), (nil, "c")] {
                let referrer = Referrer(
                    artifactType: type, config: empty, subject: subject, annotations: ["text": text])
                let bytes = try canonicalJSON(referrer)
                let digest = Digest.of(bytes)
                let reply = try await pusher.put(referrer, to: "app", as: "\(digest)")
                #expect(reply.status == 201)
                #expect(reply.headers["oci-subject"] == "\(subject.digest)")
                pushed.append(
                    Descriptor(
                        mediaType: MediaType.manifest, digest: digest, size: Int64(bytes.count),
                        annotations: ["text": text], artifactType: type ?? MediaType.empty))
            }
            // A subject need not be here.
            let absent = Descriptor(mediaType: MediaType.manifest, digest: .of(Data("none".utf8)), size: 4)
            let early = Referrer(artifactType: "application/x.early", config: empty, subject: absent)
            #expect(try await pusher.put(early, to: "app", as: "early").headers["oci-subject"] == "\(absent.digest)")
            #expect(try await pusher.store.collectGarbage().blobs == 0)

            func list(_ query: String, of digest: Digest = subject.digest) async throws -> (
                [Descriptor], RawClient.Reply
            ) {
                let reply = try await pusher.request("GET", "/v2/app/referrers/\(digest)\(query)")
                return (try JSONDecoder().decode(ImageIndex.self, from: reply.body).manifests, reply)
            }
            let sorted = pushed.sorted { $0.digest.description < $1.digest.description }
            #expect(try await list("").0 == sorted)
            let (filtered, reply) = try await list("?artifactType=application%2Fx.sbom")
            #expect(filtered == [pushed[1]])
            #expect(reply.headers["oci-filters-applied"] == "artifactType")
            #expect(try await list("", of: absent.digest).0.map(\.artifactType) == ["application/x.early"])
            // In pages.
            let (first, page) = try await list("?n=2")
            #expect(first == Array(sorted.prefix(2)))
            let next = try #require(page.headers["link"]).dropFirst().prefix { $0 != ">" }
            let rest = try await pusher.request("GET", String(next))
            #expect(try JSONDecoder().decode(ImageIndex.self, from: rest.body).manifests == Array(sorted.suffix(1)))
            // Of another repository there are none; deleted ones are gone.
            let elsewhere = try await pusher.request("GET", "/v2/other/referrers/\(subject.digest)")
            #expect(try JSONDecoder().decode(ImageIndex.self, from: elsewhere.body).manifests.isEmpty)
            #expect(try await pusher.request("DELETE", "/v2/app/manifests/\(pushed[0].digest)").status == 202)
            #expect(try await list("").0.count == 2)
        }
    }
}
