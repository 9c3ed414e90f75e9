import AsyncHTTPClient
import FoundationEssentials
import ImageStore
import NIOCore
import NIOHTTP1
import OCI
import Report
import Synchronization

/// Keeps the lists of referrers of registries that do not do it themselves: an index under the tag `sha256-HEX` of the subject
/// (OCI distribution specification 1.1, "Pushing Manifests with Subject" and "Referrers Tag Schema").
final class ReferrerLists: Sendable {
    private struct Key: Hashable {
        var host: String
        var repository: String
        var tag: String
    }

    /// How often a list is written that somebody else writes too.
    private static let rounds = 5

    private let client: RegistryClient
    /// Two that change one list at once would lose one of the changes.
    private let turns = Mutex<[Key: Limiter]>([:])

    init(client: RegistryClient) {
        self.client = client
    }

    /// Sees to it that a manifest of a repository is listed among the referrers of its subject, if it has one.
    ///
    /// - Parameters:
    ///   - reply: to the request that brought the manifest; nil when the repository had it: then it is asked how it keeps lists.
    ///   - name: of the image that is pushed, for messages.
    /// - Throws: `Failure`, of kind `conflict` when the tag stands for something else than a list, or others change it all the time.
    func add(_ item: PushPlan.Item, _ reply: RegistryClient.Reply?, at endpoint: Endpoint, of name: String) async throws
    {
        // Docker's manifests know no subject.
        guard [MediaType.manifest, MediaType.index].contains(item.descriptor.mediaType),
            let fields = ReferrerFields(item.bytes), let subject = fields.subject?.digest
        else { return }
        let errand = Errand.push("the list of referrers of \(subject), for \(name)")
        if let reply {
            guard reply.headers.first(name: "oci-subject")?.trimmingBlanks() != "\(subject)" else { return }
        } else {
            guard try await !client.keepsReferrers(of: subject, at: endpoint, errand: errand) else { return }
        }
        let key = Key(host: endpoint.host, repository: endpoint.repository, tag: subject.referrersTag)
        let turn = turns.withLock { turns in
            let turn = turns[key] ?? Limiter(width: 1)
            turns[key] = turn
            return turn
        }
        try await turn.run {
            try await self.add(fields.entry(for: item.descriptor), to: key.tag, at: endpoint, errand: errand)
        }
    }

    private func add(_ entry: Descriptor, to tag: String, at endpoint: Endpoint, errand: Errand) async throws {
        // Read once more after it was written: another push may have written it at the same time.
        for round in 0...Self.rounds {
            let list = try await client.referrersList(tag, at: endpoint, errand: errand)
            if list?.digests.contains(entry.digest) == true { return }
            guard round < Self.rounds else { break }
            let bytes = try list?.adding(entry) ?? canonicalJSON(ImageIndex(manifests: [entry]))
            try await client.put(list: bytes, as: tag, at: endpoint, errand: errand)
        }
        throw Failure(
            .conflict,
            "cannot \(errand): it was written \(Self.rounds) times, and each time lost what was added",
            at: endpoint.host,
            remedy: "see whether others push referrers of the same image, and push again"
        )
    }
}

/// An index that lists referrers, with all that others wrote into it.
private struct ReferrersList {
    private let members: JSONMembers
    private let entries: [UInt8]
    let digests: Set<Digest>

    /// nil when the bytes are no image index.
    init?(_ bytes: Data, mediaType: String) {
        guard mediaType == MediaType.index, case .index(let index)? = try? Document(bytes, mediaType: mediaType),
            let members = JSONMembers(bytes), let entries = members["manifests"], entries.last == UInt8(ascii: "]")
        else { return nil }
        self.members = members
        self.entries = entries
        digests = Set(index.manifests.map(\.digest))
    }

    /// The list with one more entry; what is in it stays byte for byte.
    func adding(_ entry: Descriptor) throws -> Data {
        var members = members
        let comma = digests.isEmpty ? [] : Array(",".utf8)
        members["manifests"] = entries.dropLast() + comma + Array(try canonicalJSON(entry)) + Array("]".utf8)
        return Data(try members.text())
    }
}

extension RegistryClient {
    /// Whether a registry has the referrers API. One that has not answers with whatever it has for unknown addresses.
    fileprivate func keepsReferrers(of subject: Digest, at endpoint: Endpoint, errand: Errand) async throws -> Bool {
        let ask = Ask(
            path: "referrers/\(subject)", accept: [MediaType.index], accepted: [200, 400, 404, 405, 406, 410, 501],
            errand: errand)
        return try await attempting {
            let reply = try await self.send(ask, to: endpoint)
            return reply.status == 200 && reply.mediaType == MediaType.index
        }
    }

    /// The list under a tag; nil when there is none.
    fileprivate func referrersList(_ tag: String, at endpoint: Endpoint, errand: Errand) async throws -> ReferrersList?
    {
        let ask = Ask(path: "manifests/\(tag)", accept: Self.acceptedTypes, accepted: [200, 404], errand: errand)
        return try await attempting {
            let reply = try await self.send(ask, to: endpoint)
            guard reply.status == 200 else { return nil }
            let origin = reply.origin.description
            let bytes = try await collect(
                reply.response.body,
                limit: Int(Document.sizeLimit),
                limits: self.configuration.limits,
                origin: origin,
                errand: errand
            )
            guard let list = ReferrersList(bytes, mediaType: reply.mediaType) else {
                throw Failure(
                    .conflict,
                    "cannot \(errand): the tag \(tag), where the specification wants it, stands for something else",
                    at: origin,
                    remedy: "give that image another tag, or push to another repository"
                )
            }
            return list
        }
    }

    fileprivate func put(list bytes: Data, as tag: String, at endpoint: Endpoint, errand: Errand) async throws {
        var ask = Ask(.PUT, path: "manifests/\(tag)", accepted: [200, 201, 202, 204], errand: errand)
        ask.headers.add(name: "Content-Type", value: MediaType.index)
        ask.body = .bytes(ByteBuffer(bytes: bytes))
        let reply = try await attempting { try await self.send(ask, to: endpoint) }
        try Self.check(reply, has: .of(bytes), errand: errand)
    }
}

extension RegistryClient.Reply {
    /// The type that the registry gives the body, without parameters, in lower case.
    fileprivate var mediaType: String {
        (headers.first(name: "content-type") ?? "").prefix { $0 != ";" }.lowercased().trimmingBlanks()
    }
}
