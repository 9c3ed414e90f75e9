import FoundationEssentials
import SystemPackage

/// The pod network without a CNI image: on each node the CNI project's `bridge` and `host-local` plug-ins with the node's
/// part of the pod network, and one VXLAN device with a fixed entry for every peer (RFC 7348, no learning, no multicast).
///
/// Plain routes between the nodes would do on a flat network, but not where the network drops packets whose addresses are
/// not its own, as Docker's internal networks and most clouds do.
struct PodNetwork {
    static let unit = PodNetworkPlan.unit
    private static let script: FilePath = "/etc/sealer/pod-network.sh"
    private static let tableFile: FilePath = "/etc/sealer/pod-network.nodes"
    private static let configurationFile: FilePath = "/etc/cni/net.d/10-sealer-bridge.conflist"
    /// 1500 of Ethernet less VXLAN's 50.
    private static let maximumTransmissionUnit = 1450

    /// A node's part of the pod network and the address that the other nodes reach it at.
    struct Part: Hashable, Sendable {
        var node: String
        var address: String
        /// CIDR.
        var network: String

        /// The first address of the part, which the VXLAN device has.
        var base: Substring { network.prefix { $0 != "/" } }

        /// A hardware address made from the node's address, so that every node knows it without asking.
        var hardwareAddress: String {
            let alphabet = Array("0123456789abcdef")
            let octets = address.split(separator: ".").compactMap { UInt8($0) }
            return (["02", "00"] + octets.map { "\(alphabet[Int($0 >> 4)])\(alphabet[Int($0 & 15)])" })
                .joined(separator: ":")
        }
    }

    /// The CNI configuration of a node (CNI specification 0.4.0).
    static func configuration(_ part: Part) throws -> Data {
        let list = ConfigurationList(plugins: [
            Plugin(
                type: "bridge",
                bridge: "cni0",
                isGateway: true,
                hairpinMode: true,
                mtu: maximumTransmissionUnit,
                ipam: .init(ranges: [[.init(subnet: part.network)]], routes: [.init(dst: "0.0.0.0/0")])
            ),
            Plugin(type: "portmap", capabilities: ["portMappings": true]),
        ])
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(list)
    }

    /// All nodes, a line each: its part's first address, its hardware address, its address, its part. The same file on every node,
    /// so that a thousand nodes do not need a million lines.
    static func table(of parts: [Part]) -> ManagedFile {
        let lines = parts.map { "\($0.base) \($0.hardwareAddress) \($0.address) \($0.network)\n" }
        return ManagedFile(tableFile, Data(lines.joined().utf8))
    }

    /// The script that sets a node's devices and routes: run at boot, and again whenever nodes come.
    static func script(of part: Part, wholeNetwork: String) -> Data {
        let device = PodNetworkPlan.device
        let masquerade =
            "POSTROUTING -s \(part.network) ! -d \(wholeNetwork) -m comment --comment \(PodNetworkPlan.ruleMark) -j MASQUERADE"
        let text = """
            #!/bin/sh
            # Written by sealer: the pod network of this node.
            set -eu
            ip link show \(device) >/dev/null 2>&1 ||
              ip link add \(device) address \(part.hardwareAddress) type vxlan id 4096 dstport 8472 \
            local \(part.address) nolearning
            ip link set \(device) mtu \(maximumTransmissionUnit) up
            ip address replace \(part.base)/32 dev \(device)
            while read -r base hardware address network; do
                [ "$base" != \(part.base) ] || continue
                ip neigh replace "$base" lladdr "$hardware" dev \(device) nud permanent
                bridge fdb replace "$hardware" dev \(device) dst "$address"
                ip route replace "$network" via "$base" dev \(device) onlink
            done <\(tableFile)
            iptables -w -t nat -C \(masquerade) 2>/dev/null || iptables -w -t nat -A \(masquerade)

            """
        return Data(text.utf8)
    }

    /// A node's part of the network as it should be, now and after every boot.
    static func aspect(_ part: Part, table: ManagedFile, wholeNetwork: String) throws -> NodeAspect {
        let unitText = """
            [Unit]
            Description=sealer's pod network
            After=network.target
            Before=kubelet.service

            [Service]
            Type=oneshot
            RemainAfterExit=yes
            ExecStart=\(script)

            [Install]
            WantedBy=multi-user.target

            """
        return NodeAspect(
            .podNetwork,
            files: [
                table, ManagedFile(script, script(of: part, wholeNetwork: wholeNetwork), permissions: 0o755),
                ManagedFile(FilePath("/etc/systemd/system").appending(unit), Data(unitText.utf8)),
            ],
            service: unit,
            // Last: the container runtime calls the network ready as soon as this file is there.
            closingFiles: [ManagedFile(configurationFile, try configuration(part))])
    }

    private struct ConfigurationList: Encodable {
        let cniVersion = "0.4.0"
        let name = "sealer-bridge"
        var plugins: [Plugin]
    }

    private struct Plugin: Encodable {
        struct Subnet: Encodable { var subnet: String }
        struct Route: Encodable { var dst: String }
        struct AddressManagement: Encodable {
            let type = "host-local"
            var ranges: [[Subnet]]
            var routes: [Route]
        }
        var type: String
        var bridge: String?
        var isGateway: Bool?
        var hairpinMode: Bool?
        var mtu: Int?
        var ipam: AddressManagement?
        var capabilities: [String: Bool]?
    }
}
