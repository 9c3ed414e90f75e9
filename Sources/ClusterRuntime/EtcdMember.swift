import FoundationEssentials
import Report

/// A member of etcd, as `etcdctl member list --write-out=json` tells.
struct EtcdMember: Hashable {
    var identifier: UInt64
    var name: String
    var clientAddress: String

    /// As etcdctl wants it.
    var identifierInHex: String { String(identifier, radix: 16) }

    /// Reads the list.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    static func list(fromJSON bytes: Data) throws -> [EtcdMember] {
        struct List: Decodable {
            struct Member: Decodable {
                var identifier: UInt64
                var name: String?
                var clientURLs: [String]?

                enum CodingKeys: String, CodingKey {
                    case identifier = "ID"
                    case name, clientURLs
                }
            }
            var members: [Member]
        }
        do {
            return try JSONDecoder().decode(List.self, from: bytes).members.map {
                EtcdMember(identifier: $0.identifier, name: $0.name ?? "", clientAddress: $0.clientURLs?.first ?? "")
            }
        } catch {
            throw Failure(.integrity, "etcd's list of members cannot be read", causes: [error])
        }
    }
}
