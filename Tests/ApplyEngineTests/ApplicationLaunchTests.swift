import OCI
import Remote
import Testing

@testable import ApplyEngine

@Suite("Launching applications")
struct ApplicationLaunchTests {
    private let image = ClusterImageConfig(
        kind: .kubeInstaller,
        launch: [.shell(#"kubectl patch x -p '{"a":1,"b":2}'"#), .app("shop"), .app("base"), .app("setup")],
        apps: [
            .init(name: "shop", type: .helm, path: "application/apps/shop", env: ["SIZE": "own", "A": "own"]),
            .init(name: "base", type: .kube, path: "application/apps/base"),
            .init(name: "setup", type: .shell, path: "application/apps/it's"),
        ],
        env: ["SIZE": "image", "REGION": "image", "A": "image"]
    )

    @Test("commands come in order, as written, with kubectl's way to the cluster")
    func commands() throws {
        let commands = try ApplicationLaunch(image, rootfs: "/r", environment: ["REGION": "cluster"]).commands()
        #expect(
            commands.map { $0.command.arguments.last } == [
                #"kubectl patch x -p '{"a":1,"b":2}'"#,
                "helm upgrade --install shop application/apps/shop",
                "kubectl apply --recursive --filename application/apps/base",
                "cd 'application/apps/it'\"'\"'s'\nfor script in *.sh; do bash \"$script\"; done",
            ])
        for command in commands {
            #expect(command.command.workingDirectory == "/r")
            #expect(command.command.environment["KUBECONFIG"] == "/etc/kubernetes/admin.conf")
            #expect(command.command.environment["REGION"] == "cluster")
        }
        #expect(commands[0].command.environment["SIZE"] == "image")
        #expect(commands[1].command.environment["SIZE"] == "own")
    }

    @Test("an application that the image does not have is no silent skip")
    func unknown() {
        let image = ClusterImageConfig(kind: .kubeInstaller, launch: [.app("ghost")])
        #expect(throws: (any Error).self) {
            try ApplicationLaunch(image, rootfs: "/r", environment: [:]).commands()
        }
    }
}
