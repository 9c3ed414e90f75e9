import Clusterfile
import Report
import Testing

@testable import SealerCommands

@Suite("Hosts of a command line")
struct HostGroupsTests {
    private let containers = HostGroups(groups: [
        HostGroup(provider: .container, count: 1, roles: ["master"]),
        HostGroup(provider: .container, count: 2, roles: ["node"]),
    ])

    private func machines() throws -> HostGroups {
        HostGroups(groups: [
            HostGroup(addresses: try [IPAddress](ranges: "10.0.0.2"), roles: ["master"]),
            HostGroup(addresses: try [IPAddress](ranges: "10.0.0.3-4"), roles: ["node", "db"]),
        ])
    }

    @Test("containers are counted up and down")
    func counted() throws {
        let more = try containers.adding("2", role: "node", option: "--nodes", ssh: SSHSettings())
        #expect(more.map(\.count) == [1, 4])
        let less = try HostGroups(groups: more).removing("3", role: "node", option: "--nodes")
        #expect(less.map(\.count) == [1, 1])
        #expect(try HostGroups(groups: less).removing("1", role: "node", option: "--nodes").count == 1)
        #expect(throws: Failure.self) { try containers.removing("3", role: "node", option: "--nodes") }
        #expect(throws: Failure.self) {
            try containers.adding("0", role: "node", option: "--nodes", ssh: SSHSettings())
        }
    }

    @Test("machines come and go by their addresses")
    func addresses() throws {
        let ssh = SSHSettings(user: "ops")
        let more = try machines().adding("10.0.0.5-6", role: "node", option: "--nodes", ssh: ssh)
        #expect(more.last?.addresses.map(\.description) == ["10.0.0.5", "10.0.0.6"])
        #expect(more.last?.ssh == ssh)
        let less = try HostGroups(groups: more).removing("10.0.0.4,10.0.0.5-6", role: "node", option: "--nodes")
        #expect(less.flatMap(\.addresses).map(\.description) == ["10.0.0.2", "10.0.0.3"])
        #expect(throws: Failure.self) { try machines().adding("10.0.0.3", role: "node", option: "--nodes", ssh: ssh) }
        // A master is taken out as a master only.
        #expect(throws: Failure.self) { try machines().removing("10.0.0.2", role: "node", option: "--nodes") }
        #expect(throws: Failure.self) { try machines().removing("10.0.0.9", role: "node", option: "--nodes") }
    }

    @Test("numbers mean containers, addresses machines, and a provider says it itself")
    func providers() throws {
        let standard = try HostOptions(provider: nil, masters: nil, nodes: nil).groups()
        #expect(standard.map(\.provider) == [.container, .container] && standard.map(\.count) == [1, 1])
        let counted = try HostOptions(provider: nil, masters: "3", nodes: "0").groups()
        #expect(counted.map(\.count) == [3])
        let machines = try HostOptions(provider: nil, masters: "10.0.0.2-4", nodes: nil).groups()
        #expect(machines.map(\.provider) == [.baremetal] && machines.map(\.count) == [3])
        let local = try HostOptions(provider: "local", masters: "10.0.0.2", nodes: nil).groups()
        #expect(local.map(\.provider) == [.local])
        #expect(throws: Failure.self) { try HostOptions(provider: "moon", masters: nil, nodes: nil).groups() }
        #expect(throws: Failure.self) {
            try HostOptions(provider: "container", masters: "10.0.0.2", nodes: nil).groups()
        }
        #expect(throws: Failure.self) { try HostOptions(provider: "baremetal", masters: "3", nodes: nil).groups() }
    }
}
