import Clusterfile
import FoundationEssentials
import Report

/// A member of etcd, as `etcdctl member list --write-out=json` tells.
struct EtcdMember: Hashable {
    var identifier: UInt64
    /// Empty for one that has never started.
    var name: String
    /// Where the other members reach it.
    var peerAddresses: [String]
    /// Empty for one that has never started.
    var clientAddress: String
    /// Whether it follows without a vote.
    var isLearner: Bool

    /// As etcdctl wants it.
    var identifierInHex: String { String(identifier, radix: 16) }

    /// Where the etcd of the host with an address is reached by the other members, as kubeadm names it.
    static func peerAddress(_ address: String) -> String {
        "https://\(IPAddress(address)?.urlHost ?? address):2380"
    }

    /// Reads the list.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    static func list(fromJSON bytes: Data) throws -> [EtcdMember] {
        struct List: Decodable {
            struct Member: Decodable {
                var identifier: UInt64
                var name: String?
                var peerURLs: [String]?
                var clientURLs: [String]?
                var isLearner: Bool?

                enum CodingKeys: String, CodingKey {
                    case identifier = "ID"
                    case name, peerURLs, clientURLs, isLearner
                }
            }
            var members: [Member]
        }
        do {
            return try JSONDecoder().decode(List.self, from: bytes).members.map {
                EtcdMember(
                    identifier: $0.identifier, name: $0.name ?? "", peerAddresses: $0.peerURLs ?? [],
                    clientAddress: $0.clientURLs?.first ?? "", isLearner: $0.isLearner ?? false)
            }
        } catch {
            throw Failure(.integrity, "etcd's list of members cannot be read", causes: [error])
        }
    }
}
