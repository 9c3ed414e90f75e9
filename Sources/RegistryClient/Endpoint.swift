import OCI
import Report

/// One place where an image may be had.
struct Endpoint: Hashable, Sendable {
    /// What may be spoken there.
    enum Security: Hashable, Sendable {
        /// https with a verified certificate.
        case verified
        /// https without verification, or http.
        case insecure
        /// http, because the user wrote `http://`.
        case plain
    }

    /// What we want to do there; tokens are asked for that.
    enum Access: Hashable, Sendable {
        /// Read the repository.
        case pull
        /// Read and write it.
        case push
        /// Write it, and read another one of the same registry.
        case mount(from: String)
        /// Only see whether the registry knows us.
        case nothing
    }

    /// The host as URLs name it: `registry-1.docker.io`, `sea.hub:5000`.
    var host: String
    /// The host as image names and credentials name it: `docker.io`.
    var name: String
    /// The repository there.
    var repository: String
    /// What may be spoken.
    var security: Security
    /// The certificates (PEM) that alone are trusted for the host; nil means the system's.
    var authority: String?
    /// Whether it is a mirror of the place that the name says.
    var isMirror: Bool
    /// What we want to do there.
    var access = Access.pull

    /// The same place for another purpose.
    func with(_ access: Access) -> Endpoint {
        var endpoint = self
        endpoint.access = access
        return endpoint
    }

    /// What a token must allow (distribution's token specification, "Resource Scope Grammar").
    var scopes: [String] {
        switch access {
        case .pull: ["repository:\(repository):pull"]
        case .push: ["repository:\(repository):pull,push"]
        case .mount(let from): ["repository:\(repository):pull,push", "repository:\(from):pull"]
        case .nothing: []
        }
    }
}

extension RegistryConfiguration {
    /// Where an image may be had, in the order to try.
    ///
    /// - Throws: `Failure` of kind `denied` when the name is blocked, `invalidInput` when a rule makes an impossible name.
    func endpoints(for reference: Reference) throws -> [Endpoint] {
        guard let rule = RegistryRule.best(of: registries, for: reference.repository),
            let covered = rule.matchedLength(in: reference.repository)
        else {
            return [endpoint(domain: reference.domain, path: reference.path, isInsecure: false, isMirror: false)]
        }
        guard !rule.blocked else {
            throw Failure(
                .denied,
                "registries.conf blocks \(rule.prefix)",
                at: reference.familiar,
                remedy: "take the image from elsewhere, or remove blocked = true"
            )
        }
        let rest = String(reference.repository.dropFirst(covered))
        func place(_ location: String, isInsecure: Bool, isMirror: Bool) throws -> Endpoint {
            let parts = (location + rest).split(separator: "/", maxSplits: 1).map(String.init)
            guard parts.count == 2, let there = try? Reference(domain: parts[0], path: parts[1], tag: nil) else {
                throw Failure(
                    .invalidInput,
                    "the location \(location) of registries.conf makes no valid name for the image",
                    at: reference.familiar,
                    remedy: "correct the [[registry]] with the prefix \(rule.prefix)"
                )
            }
            return endpoint(domain: there.domain, path: there.path, isInsecure: isInsecure, isMirror: isMirror)
        }
        let mirrors = try rule.mirrors.filter { mirror in
            switch mirror.use {
            case .all: true
            case .digestOnly: reference.digest != nil
            case .tagOnly: reference.digest == nil
            }
        }.map { try place($0.location, isInsecure: $0.insecure, isMirror: true) }
        let location = rule.location ?? String(reference.repository.prefix(covered))
        return mirrors + [try place(location, isInsecure: rule.insecure, isMirror: false)]
    }

    /// Where an image is written: the place itself, never a mirror.
    func pushEndpoint(for reference: Reference) throws -> Endpoint {
        guard let endpoint = try endpoints(for: reference).last(where: { !$0.isMirror }) else {
            throw Failure(.software, "no registry is known for \(reference.familiar)")
        }
        return endpoint.with(.push)
    }

    /// A registry as such.
    func registryEndpoint(domain: String) -> Endpoint {
        endpoint(domain: domain, path: "", isInsecure: false, isMirror: false).with(.nothing)
    }

    private func endpoint(domain: String, path: String, isInsecure: Bool, isMirror: Bool) -> Endpoint {
        let authority = authorities[domain]
        // Who puts an authority for a host into certs.d means it, also on this machine.
        let hasOwnAuthority = certificates[domain].map { !$0.authorities.isEmpty } ?? false
        return Endpoint(
            host: domain == "docker.io" ? "registry-1.docker.io" : domain,
            name: domain,
            repository: path,
            security: authority == nil && !hasOwnAuthority && (isInsecure || accepts(insecure: domain))
                ? .insecure : .verified,
            authority: authority,
            isMirror: isMirror
        )
    }

    /// Whether http may be spoken with a host (`HOST[:PORT]`): this machine itself, and what the user said.
    func accepts(insecure domain: String) -> Bool {
        if insecureHosts.contains(domain) || Self.isLoopback(domain) { return true }
        // A rule that leads elsewhere says nothing about this host.
        guard let rule = RegistryRule.best(of: registries, for: domain) else { return false }
        return rule.insecure && (rule.location ?? domain) == domain
    }

    /// Whether a host (`HOST[:PORT]`) is this machine: `localhost`, 127.0.0.0/8 or ::1, and nothing that only looks like them.
    static func isLoopback(_ domain: String) -> Bool {
        if domain == "[::1]" || domain.hasPrefix("[::1]:") { return true }
        let host = domain.prefix { $0 != ":" }
        if host == "localhost" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { UInt8($0) != nil && $0.allSatisfy(\.isNumber) }
    }
}
