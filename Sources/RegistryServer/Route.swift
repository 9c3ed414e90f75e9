import NIOHTTP1
import OCI
import Report

/// What a request asks for (OCI distribution specification 1.1, "Endpoints").
enum Route: Hashable, Sendable {
    /// Which part of a long list is wanted.
    struct Page: Hashable, Sendable {
        /// How many entries at most, bounded by us.
        var count: Int
        /// The entry before the first wanted one.
        var after: String?
    }

    /// A repository as the client names it.
    struct Repository: Hashable, Sendable {
        var path: String
        /// The registry that the client takes us for.
        var namespace: String?
    }

    /// How an upload begins.
    struct Start: Hashable, Sendable {
        /// The digest, when the request brings the whole blob.
        var digest: Digest?
        /// A blob that another repository may have.
        var mount: Digest?
        /// That repository.
        var from: String?
        /// What the digest at the end will be.
        var algorithm: Digest.Algorithm = .sha256
    }

    case root
    case health
    case metrics
    case catalogue(Page)
    case tags(Repository, Page)
    case manifest(Repository, ManifestName)
    case blob(Repository, Digest)
    case uploads(Repository, Start)
    case upload(Repository, id: String, Digest?)
    case referrers(Repository, Digest, artifactType: String?, Page)
    /// Something that is never served, with the error to answer.
    case refused(RegistryError)

    /// A request line longer than this, in bytes, is refused.
    static let lengthLimit = 4096
    /// A list never has more entries than this in one reply, whatever the client asks for (CVE-2023-2253).
    static let pageLimit = 1000

    /// Reads a request's target.
    init(_ target: String) {
        guard target.utf8.count <= Self.lengthLimit else {
            self = .refused(.init(.uriTooLong, .nameInvalid, "the address is longer than \(Self.lengthLimit) bytes"))
            return
        }
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = parts.first.flatMap(percentDecoded) else {
            self = .refused(.init(.badRequest, .nameInvalid, "the address is not properly encoded"))
            return
        }
        let query = Self.query(parts.count > 1 ? parts[1] : "")
        switch path {
        case "/healthz": self = .health
        case "/metrics": self = .metrics
        case "/v2", "/v2/": self = .root
        case "/v2/_catalog": self = Self.page(query).map(Route.catalogue) ?? .refused(.badPage)
        default: self = Self.repositoryRoute(path, query)
        }
    }

    private static func repositoryRoute(_ path: String, _ query: [String: String]) -> Route {
        let components = path.split(separator: "/", omittingEmptySubsequences: false)
        // "", "v2", NAME…, KIND, WHAT
        guard components.count >= 5, components[0].isEmpty, components[1] == "v2", let what = components.last else {
            return .refused(.notFound)
        }
        // "/v2/NAME…/blobs/uploads/ID", where ID is empty for a new one.
        if components.count >= 6, components[(components.count - 3)...].starts(with: ["blobs", "uploads"]) {
            return uploadRoute(components[2..<(components.count - 3)], what, query)
        }
        if components[(components.count - 2)...] == ["blobs", "uploads"] {
            return uploadRoute(components[2..<(components.count - 2)], "", query)
        }
        guard let repository = repository(components[2..<(components.count - 2)], query) else {
            return .refused(.badName)
        }
        switch components[components.count - 2] {
        case "manifests":
            if what.contains(":") {
                guard let digest = try? Digest(String(what)) else { return .refused(.badDigest) }
                return .manifest(repository, .digest(digest))
            }
            guard (try? Reference(domain: "x", path: "x", tag: String(what))) != nil else {
                return .refused(.init(.badRequest, .manifestInvalid, "the tag is not valid"))
            }
            return .manifest(repository, .tag(String(what)))
        case "blobs":
            guard let digest = try? Digest(String(what)) else { return .refused(.badDigest) }
            return .blob(repository, digest)
        case "referrers":
            guard let digest = try? Digest(String(what)) else { return .refused(.badDigest) }
            let type = query["artifactType"].flatMap { $0.isEmpty ? nil : $0 }
            return page(query).map { .referrers(repository, digest, artifactType: type, $0) } ?? .refused(.badPage)
        case "tags" where what == "list":
            return page(query).map { .tags(repository, $0) } ?? .refused(.badPage)
        default: return .refused(.notFound)
        }
    }

    private static func uploadRoute(_ name: ArraySlice<Substring>, _ id: Substring, _ query: [String: String]) -> Route
    {
        guard let repository = repository(name, query) else { return .refused(.badName) }
        var digests: [String: Digest] = [:]
        for name in ["digest", "mount"] {
            guard let text = query[name] else { continue }
            guard let digest = try? Digest(text) else { return .refused(.badDigest) }
            digests[name] = digest
        }
        guard id.isEmpty else { return .upload(repository, id: String(id), digests["digest"]) }
        var start = Start(digest: digests["digest"], mount: digests["mount"], from: query["from"])
        if let from = start.from, !isRepository(from) { return .refused(.badName) }
        if let name = query["digest-algorithm"] {
            guard let algorithm = Digest.Algorithm(rawValue: name) else { return .refused(.badDigest) }
            start.algorithm = algorithm
        }
        return .uploads(repository, start)
    }

    /// nil when the name, or the registry that goes with it, is none.
    private static func repository(_ components: ArraySlice<Substring>, _ query: [String: String]) -> Repository? {
        let name = components.joined(separator: "/")
        let namespace = query["ns"].flatMap { $0.isEmpty ? nil : $0 }
        guard isRepository(name), namespace.map(isDomain) ?? true else { return nil }
        return Repository(path: name, namespace: namespace)
    }

    /// A path within a registry, or one that begins with a registry's name.
    private static func isRepository(_ name: String) -> Bool {
        if (try? Reference(domain: "x", path: name, tag: nil)) != nil { return true }
        let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
        return parts.count == 2 && (try? Reference(domain: parts[0], path: parts[1], tag: nil)) != nil
    }

    private static func isDomain(_ text: String) -> Bool {
        (try? Reference(domain: text, path: "x", tag: nil)) != nil
    }

    /// nil when `n` is no number of 0 or more.
    private static func page(_ query: [String: String]) -> Page? {
        guard let text = query["n"] else { return Page(count: pageLimit, after: query["last"]) }
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        // A number too large for an Int is just a large number.
        return Page(count: min(Int(text) ?? pageLimit, pageLimit), after: query["last"])
    }

    private static func query(_ text: Substring) -> [String: String] {
        var result: [String: String] = [:]
        for item in text.split(separator: "&").prefix(32) {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = pair.first.flatMap(percentDecoded),
                let value = percentDecoded(pair.count > 1 ? pair[1] : "")
            else { continue }
            result[name] = value
        }
        return result
    }
}
